# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m tests.boot.bench_lifeboat KERNEL INITRD``: seconds from power-on to the kernel and to its first process.

Loads a real convert environment from a lifeboat in pieces, on each kind of disk, through the BIOS's calls.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import control
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from . import boot_sectors, lifeboat
from .machine import make_plan, resolved_layout

SIZE = 8 << 30
START = 5 << 30
SECONDS = 600
#: What is said at each of the moments: by our configuration, by the kernel, by its first process.
MOMENTS = {"GRUB": b"goes on from the lifeboat", "kernel": b"Linux version", "first process": b"Run /init"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.boot.bench_lifeboat", description=__doc__)
    parser.add_argument("kernel", type=Path)
    parser.add_argument("initrd", type=Path)
    parser.add_argument("--pieces", type=int, default=8, help="pieces of the initramfs")
    parser.add_argument("--memory", type=int, default=1024, help="MiB of the machine")
    parser.add_argument("--hardware", choices=sorted(lifeboat.HARDWARE), action="append")
    arguments = parser.parse_args()
    found = lifeboat.Content(arguments.kernel.read_bytes(), arguments.initrd.read_bytes(), bytes(4096))
    with tempfile.TemporaryDirectory(prefix="dualroot-bench-") as scratch:
        image = Path(scratch, "disk.img")
        make_disk(image, found, arguments.pieces)
        for hardware in arguments.hardware or lifeboat.HARDWARE:
            seconds = measure(image, hardware, arguments.memory)
            shown = ", ".join(f"{moment} {value:.1f} s" for moment, value in seconds.items())
            print(f"{hardware}: {shown} ({len(found.initrd) >> 20} MiB of initramfs in {arguments.pieces} pieces)")
    return 0


def make_disk(image: Path, found: lifeboat.Content, pieces: int) -> None:
    with image.open("wb") as file:
        file.truncate(SIZE)
        file.write(boot_sectors.old_system(bytes(510) + b"\x55\xaa"))
    # The first process is not wanted: the kernel's own words are enough, and a panic would wait.
    plan = make_plan(kernel_arguments=["console=ttyS0,115200", "ignore_loglevel"])
    placed = lifeboat.stow(image, found, START, pieces=pieces)
    runner, layout = CommandRunner(), resolved_layout()
    control.prepare_lifeboat(runner, str(image), layout, plan, placed)
    control.take_control(runner, str(image), layout, plan, placed)


def measure(image: Path, hardware: str, memory: int) -> dict[str, float]:
    """Return the seconds from power-on to each moment."""
    argv = lifeboat.machine_argv({image: hardware}, memory=memory)
    started = time.monotonic()
    seconds: dict[str, float] = {}
    said = b""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as machine:
        assert machine.stdout is not None
        while len(seconds) < len(MOMENTS) and time.monotonic() - started < SECONDS:
            data = machine.stdout.read1(4096)
            if not data:
                break
            said += data
            for moment, words in MOMENTS.items():
                if moment not in seconds and words in said:
                    seconds[moment] = time.monotonic() - started
        machine.kill()
    return seconds


if __name__ == "__main__":
    sys.exit(main())
