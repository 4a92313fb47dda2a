# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A person at the console of a host that is held: the pages of ``docs/recovery`` are followed to their end.

Writes fail three times where a step writes, so that it is given up; then the disk works again, which is what mending
is. The person logs in at the serial console with the host's own password of root, types what the pages say, and
asks for another try. In ``make soak``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bundles import build_bundle
from tests.support import matrix
from tests.support.recovery_steps import HOLDS, STEPS

from . import bundle, combos, evaluate, faults, prepare, recorder, soak

MACHINE = "bios-virtio-ext4-mbr-va"
HOLD_SECONDS = 600.0
END_SECONDS = 600.0
_PROMPT_SECONDS = 90.0
#: What a shell says of a program that is not there.
_NOT_THERE = re.compile(r"(\S+): (?:command )?not found|applet not found|can't execute")

pytestmark = [
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("qemu-system-x86_64") is None, reason="needs root, loop devices and QEMU"
    ),
    pytest.mark.skipif(not os.environ.get("DUALROOT_SOAK"), reason="only with DUALROOT_SOAK=1: it takes long"),
]


class Console:
    """The serial console of a machine, as a person sees it and types at it."""

    def __init__(self, argv: list[str]) -> None:
        argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self.text = ""

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def type(self, line: str) -> None:
        # Slowly: a serial line has a buffer of 16 bytes, and nobody types faster.
        for start in range(0, len(line) + 1, 8):
            self._stdin.write((line + "\n")[start : start + 8].encode())
            self._read(0.05)

    def wait_for(self, pattern: str, seconds: float, since: int = 0) -> re.Match[str]:
        end = time.monotonic() + seconds
        while True:
            found = re.compile(pattern).search(self.text, since)
            if found is not None:
                return found
            assert time.monotonic() < end, f"no {pattern} within {seconds:.0f} s:\n{self.text[-3000:]}"
            assert self._process.poll() is None, self.text[-3000:]
            self._read(0.2)

    def run(self, command: str, seconds: float = _PROMPT_SECONDS) -> str:
        """Type a command and return what it printed; the mark is not what is typed but what the shell makes of it."""
        since = len(self.text)
        self.type(f"{command}; echo @$((40+2))@")
        done = self.wait_for(r"@42@", seconds, since)
        return self.text[since : done.start()]

    def log_in(self, password: str) -> None:
        since = len(self.text)
        self.type("")
        self.wait_for(r"(?i)password|maintenance", _PROMPT_SECONDS, since)
        self._read(1.0)
        self.type(password)
        self.wait_for(r"# ", _PROMPT_SECONDS, since)

    def _read(self, pause: float) -> None:
        time.sleep(pause)
        piece = self._stdout.read(1 << 20)
        if piece:
            self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", piece.decode("latin-1")).replace("\r", "")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prepare.Prepared]:
    chosen = os.environ.get("DUALROOT_TEST_BUNDLE")
    built = Path(chosen) if chosen else build_bundle("debian13-va").folder
    kept = os.environ.get("DUALROOT_FAULTS_WORK")
    work = Path(kept) if kept else tmp_path_factory.mktemp("console")
    yield prepare.prepare(combos.find(MACHINE), work, built, own_engine="DUALROOT_OWN_ENGINE" in os.environ)
    if not kept:
        shutil.rmtree(work, ignore_errors=True)


PLACES: dict[str, Callable[[faults.Context], int]] = {
    "disk.unwritable": lambda context: 1,
    "archive.not_durable": lambda context: evaluate.root_place(context.prepared.target.layout, "a")[0] // 512 + 2,
}


@pytest.mark.parametrize("fault", list(PLACES))
def test_a_person_follows_the_page(prepared: prepare.Prepared, fault: str) -> None:
    with soak.scratch_folder(prepared.folder) as scratch:
        image = scratch / "fault.img"
        recorder.copy_image(prepared.folder / "staged.img", image)
        context = faults.Context(prepared, image, scratch)
        for _try in range(3):
            context.fail("write", PLACES[fault](context), once=True)
        console = Console(faults.arguments(context))
        try:
            console.wait_for(r"waits for a person: [^\n]*\n", HOLD_SECONDS)
            found = console.wait_for(r"dualroot: \w+: ([a-z_]+\.[a-z_]+): ", 1)[1]
            console.log_in(bundle.ROOT_PASSWORD)
            _look(console, found)
            for _again in range(3):
                since = len(console.text)
                console.run("touch /run/dualroot/retry")
                ended = console.wait_for(rf"{recorder.NEW.pattern}|waits for a person: [^\n]*\n", END_SECONDS, since)
                if "waits for a person" not in ended[0]:
                    break
            assert recorder.NEW.search(console.text), console.text[-3000:]
        finally:
            console.close()
        problem = evaluate.new_problem(prepared.target, image, scratch / "mount")
    assert not problem
    proof = f"docs/recovery/{found}.md, typed at the serial console"
    matrix.record(f"console: three writes fail ({fault})", "RESUME", proof, "stage two under QEMU", found)


def _look(console: Console, fault: str) -> None:
    """Type what the page of this fault says, and then what every other page says of a host that is held."""
    assert STEPS[fault].state == HOLDS
    pages: list[Any] = [STEPS[fault], *(steps for steps in STEPS.values() if steps.state == HOLDS)]
    missing = []
    for command in dict.fromkeys(line for steps in pages for line in steps.look):
        # What stands for a name on the pages.
        typed = re.sub(r"/dev/DISK(n?)", lambda one: "/dev/vda" + ("1" if one[1] else ""), command)
        said = console.run(typed.split("    #")[0])
        lost = _NOT_THERE.search(said.partition("\n")[2])
        if lost:
            missing.append(f"{command}: {lost[0]}")
    assert not missing, missing
