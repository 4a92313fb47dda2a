# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rim of stage two: everything that it does to the machine or asks of it, injected for tests."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..runner import Runner
from .places import Places

#: Kernel settings that leave more memory to the payload (Documentation/admin-guide): waiting data is
#: written early and steadily (sysctl/vm.rst), so that it does not pile up and the sync at the end of
#: a restore is short; huge pages are switched off (mm/transhuge.rst), for whose sake the kernel holds
#: back some 90 MiB on a machine of 1 GiB; and each processor keeps a short list of free pages.
_SETTINGS = {
    "proc/sys/vm/dirty_background_bytes": str(16 << 20),
    "proc/sys/vm/dirty_bytes": str(64 << 20),
    "sys/kernel/mm/transparent_hugepage/enabled": "never",
    "proc/sys/vm/percpu_pagelist_high_fraction": "1024",
}


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


_MEMORY_FIELDS = frozenset(
    [
        "MemTotal",
        "MemFree",
        "MemAvailable",
        "Buffers",
        "Cached",
        "SReclaimable",
        "Shmem",
        "Dirty",
        "Writeback",
        "Unevictable",
        "Mlocked",
    ]
)


@dataclass(frozen=True)
class Memory:
    """``used`` is what could not be given back at once: programs, kernel, memory file systems, data on
    its way to the disk; not what caches hold of the disk. ``available`` is the kernel's own estimate,
    less what it sets aside for itself. Both in bytes.
    """

    used: int
    available: int


@dataclass
class Machine:
    """``clock`` gives seconds since 1970, ``monotonic`` seconds that only grow."""

    runner: Runner
    places: Places = field(default_factory=Places)
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = _print
    reboot: Callable[[], None] = lambda: None

    def read(self, path: str) -> str:
        """Return a file of the machine as text, or nothing where it is not there."""
        try:
            return (self.places.root / path).read_text("utf-8", "replace")
        except OSError:
            return ""

    def arguments(self) -> dict[str, str]:
        """Return the kernel arguments that have a value."""
        words = (word.partition("=") for word in self.read("proc/cmdline").split())
        return {name: value for name, equals, value in words if equals}

    def boot_id(self) -> str:
        return self.read("proc/sys/kernel/random/boot_id").strip()

    def memory(self) -> Memory:
        """Return how the memory is used (proc(5), meminfo)."""
        found: dict[str, int] = {}
        for line in self.read("proc/meminfo").splitlines():
            name, _colon, value = line.partition(":")
            if name in _MEMORY_FIELDS:
                found[name] = int(value.split()[0]) * 1024
        cache = sum(found.get(name, 0) for name in ("Buffers", "Cached", "SReclaimable"))
        # Unevictable and not locked is an initramfs that is a ramfs (with root= on the kernel line).
        kept = sum(found.get(name, 0) for name in ("Shmem", "Dirty", "Writeback", "Unevictable"))
        kept -= found.get("Mlocked", 0)
        used = found.get("MemTotal", 0) - found.get("MemFree", 0) - cache + kept
        return Memory(used, found.get("MemAvailable", 0))

    def spare_memory(self) -> None:
        """Keep the kernel from setting memory aside that the payload needs."""
        for name, value in _SETTINGS.items():
            path = self.places.root / name
            if path.exists():
                path.write_text(value)

    def survive_oops(self) -> None:
        """Go on after an error inside the kernel that only ends the task in which it happens.

        Until then it restarts the machine (admin-guide/sysctl/kernel.rst, panic_on_oops), because the
        old system is one restart away; later, without a lifeboat, a restart would find nothing to start.
        """
        path = self.places.root / "proc/sys/kernel/panic_on_oops"
        if path.exists():
            path.write_text("0")

    def wait_for(self, path: Path, seconds: float, pause: float = 0.5) -> bool:
        """Wait until a file is there; tell whether it came within the time."""
        end = self.monotonic() + seconds
        while not path.exists():
            if self.monotonic() >= end:
                return False
            self.sleep(pause)
        return True

    def settle(self) -> None:
        """Wait until udev has handled what the kernel reported."""
        self.runner.run(("udevadm", "settle", "--timeout=30"), accept=(0, 1))


def restart(runner: Runner, root: Path = Path("/")) -> None:
    """Restart the machine at once; everything must be unmounted. Returns only where nothing helps.

    reboot(2) lets drivers shut their devices down; the kernel's sysrq trigger, which does not, is
    left for an environment without ctypes.
    """
    os.sync()
    try:
        import ctypes

        # linux/reboot.h: LINUX_REBOOT_CMD_RESTART, what glibc calls RB_AUTOBOOT.
        ctypes.CDLL(None, use_errno=True).reboot(0x01234567)
    except (ImportError, OSError, AttributeError):
        runner.run(("busybox", "reboot", "-f"), accept=range(256))
    (root / "proc/sysrq-trigger").write_text("b")
