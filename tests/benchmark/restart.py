# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.benchmark.restart``: the downtime of an update beside a plain restart of the same machine.

Downtime is from the end of sshd to its next start, as systemd tells it on the serial console. Prints the ratio
beside its bar, because seconds of an emulated machine mean nothing elsewhere.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.lab.bundles import build_bundle
from tests.lab.converted import HOST, convert
from tests.lab.guest import MachineError
from tests.lab.hardware import Options
from tests.lab.machine import Machine, end_on_signal, running
from tests.lab.playbook import run_playbook

BAR = 1.15
#: Seconds between two looks, and for the last one.
PAUSE, LAST_LOOK = 0.2, 5.0
#: What systemd says on the console of the system that goes, and of the one that comes.
LOST, BACK = "Stopped ssh.service", "Started ssh.service"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
RESTART_SECONDS = 900.0


@dataclass
class Watch:
    """Follows the serial console; ``gap`` is the time from the end of sshd to its next start, in seconds.

    Nobody knocks at the door meanwhile: a newer sshd turns away an address that asks for its greeting alone
    (PerSourcePenalties, sshd_config(5)), and with it the controller, which has the same one.
    """

    machine: Machine
    gap: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._seen = len(self.machine.console())
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        if not self.gap:
            # What was waited for is over, and the last line may be on its way.
            self._over.wait(LAST_LOOK)
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        lost = 0.0
        while not self._over.wait(PAUSE) and not self.gap:
            text = _COLOUR.sub("", self.machine.console()[self._seen :])
            if not lost and LOST in text:
                lost = time.monotonic()
            elif lost and BACK in text[text.index(LOST) :]:
                self.gap = time.monotonic() - lost


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.restart", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="plain restarts of each slot")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    end_on_signal()
    with tempfile.TemporaryDirectory(prefix="dualroot-bench-") as scratch:
        figures = measure(Path(scratch), arguments.rounds)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    return show(figures)


def measure(scratch: Path, rounds: int) -> dict[str, Any]:
    """Return the seconds of the plain restarts before and after, and those of the update between them."""
    variables = {**build_bundle("debian13-va-2").variables(), "dualroot_consent": 1}
    image = convert("debian13-va")
    with running(scratch / HOST, Options(image="debian11"), image) as machine:
        before = [plain(machine) for _round in range(rounds)]
        with Watch(machine) as watch:
            outcome = run_playbook("update", variables, scratch / "reports", inventory=machine.inventory)
        if outcome.returncode != 0 or not watch.gap:
            raise SystemExit(f"the update failed:\n{outcome.output[-4000:]}")
        after = [plain(machine) for _round in range(rounds)]
    return {"before": before, "update": watch.gap, "after": after, "result": outcome.result(HOST)}


def plain(machine: Machine) -> float:
    """Restart the machine as its owner does, and return how long there was no sshd."""
    boot_id = machine.ssh("cat /proc/sys/kernel/random/boot_id")
    with Watch(machine) as watch:
        machine.ssh("sudo systemd-run --no-block sh -c 'sleep 2; systemctl reboot'")
        wait_for(lambda: is_another_boot(machine, boot_id), RESTART_SECONDS)
    if not watch.gap:
        raise SystemExit("the console did not tell when sshd ended and began")
    return watch.gap


def is_another_boot(machine: Machine, boot_id: str) -> bool:
    try:
        return machine.ssh("cat /proc/sys/kernel/random/boot_id") != boot_id
    # The connection ends with the system that goes down.
    except (MachineError, subprocess.TimeoutExpired):
        return False


def wait_for(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"the machine did not come back within {seconds:.0f} s")
        time.sleep(PAUSE)


def show(figures: dict[str, Any]) -> int:
    plainly = median([*figures["before"], *figures["after"]])
    ratio = figures["update"] / plainly
    print(f"plain restarts before            {', '.join(f'{one:.1f}' for one in figures['before'])} s")
    print(f"plain restarts after             {', '.join(f'{one:.1f}' for one in figures['after'])} s")
    print(f"restart of the update            {figures['update']:.1f} s")
    print(f"update / median of plain         {ratio:8.2f}       bar: at most {BAR}")
    peak = figures["result"]["peak_ram_bytes"] or 0
    print(f"peak RAM of the update           {peak / (1 << 20):8.1f} MiB   bar: at most 200")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
