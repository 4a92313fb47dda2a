# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file system of the old system that holds the staged files."""

from __future__ import annotations

from pathlib import Path

from ..faults import stage_two as kinds
from ..faults.fault import Fault
from .machine import Machine

#: What stage one calls the convert kernel and initrd in the old system's /boot.
BOOT_FOLDER = "/boot/dualroot"
BOOT_NAMES = {"kernel": "vmlinuz", "initrd": "initrd.img"}


def device(machine: Machine, uuid: str) -> str:
    """Return the one device with this file system; more than one are as wrong as none."""
    # An empty cache file: the answer is read from the disks, as they are now. Status 2: not found.
    argv = ("blkid", "-c", "/dev/null", "-o", "device", "-t", f"UUID={uuid}")
    found = machine.runner.run(argv, accept=(0, 2)).text.split()
    if not found:
        problem = "No block device carries a file system of this UUID."
        raise Fault(kinds.STAGING_NOT_FOUND, uuid=uuid, problem=problem)
    if len(found) > 1:
        problem = f"Several devices carry it, one may be a copy: {', '.join(found)}."
        raise Fault(kinds.STAGING_NOT_FOUND, uuid=uuid, problem=problem)
    return found[0]


def environment_candidates(old: Path, directory: str, part: str, file: str) -> list[Path]:
    """Return where the convert kernel or initrd may lie below the old root."""
    inside = old / directory.lstrip("/")
    boot = old / BOOT_FOLDER.lstrip("/")
    return [boot / BOOT_NAMES[part], inside / Path(file).name, inside / BOOT_NAMES[part]]
