# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.benchmark.restart``: the downtime of an update beside a plain restart of the same machine.

Downtime is from the last SSH banner before the restart to the first one after it, watched from outside while the
playbook runs. Prints the ratio beside its bar, because seconds of an emulated machine mean nothing elsewhere.
"""

from __future__ import annotations

import argparse
import json
import socket
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
#: Seconds between two looks, and of one look.
PAUSE, LOOK = 0.2, 2.0
RESTART_SECONDS = 900.0


@dataclass
class Watch:
    """Looks for the SSH banner all the time; ``gap`` is the longest time without one."""

    port: int
    _last: float = 0.0
    gap: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(PAUSE):
            began = time.monotonic()
            if answers(self.port):
                # The look began before the banner came: what answered then was up at its end.
                self.gap = max(self.gap, time.monotonic() - self._last)
                self._last = began


def answers(port: int) -> bool:
    """Return whether a server greets; QEMU itself accepts for the guest at once."""
    try:
        with socket.create_connection(("127.0.0.1", port), LOOK) as connection:
            connection.settimeout(LOOK)
            return connection.recv(4).startswith(b"SSH")
    except OSError:
        return False


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
        with Watch(machine.port) as watch:
            outcome = run_playbook("update", variables, scratch / "reports", inventory=machine.inventory)
        if outcome.returncode != 0:
            raise SystemExit(f"the update failed:\n{outcome.output[-4000:]}")
        after = [plain(machine) for _round in range(rounds)]
    return {"before": before, "update": watch.gap, "after": after, "result": outcome.result(HOST)}


def plain(machine: Machine) -> float:
    """Restart the machine as its owner does, and return how long no banner came."""
    boot_id = machine.ssh("cat /proc/sys/kernel/random/boot_id")
    with Watch(machine.port) as watch:
        machine.ssh("sudo systemd-run --no-block sh -c 'sleep 2; systemctl reboot'")
        wait_for(lambda: is_another_boot(machine, boot_id), RESTART_SECONDS)
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
