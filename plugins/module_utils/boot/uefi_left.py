# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a cut before the point of no return leaves of the lifeboat's boot path on a UEFI host, and its end.

The entry is in no boot order, so the firmware never takes it by itself, but a person may choose it. Asked on the
running old system, which has no plan and maybe no efibootmgr.
"""

from __future__ import annotations

from pathlib import Path

from ..disk import sysfs
from ..faults.fault import Fault
from ..runner import Runner
from . import esp, nvram, uefi


def entries(root: Path = sysfs.ROOT) -> list[nvram.BootEntry]:
    """Return the entries of this project that are in no boot order; those in it are a converted host's own."""
    present = nvram.order(root)
    return [
        one
        for one in nvram.entries(root)
        if one.loader.lower() == uefi.LOADER_PATH.lower() and one.number not in present
    ]


def take_back(runner: Runner, entry: nvram.BootEntry, root: Path = sysfs.ROOT) -> None:
    """Remove the files of an entry, then the entry: cut off in between, it is still found and starts nothing.

    Files that start a dispatcher are a converted host's, whose firmware has lost its order. An EFI system partition
    that is gone takes nothing but the entry. Raises ``Fault`` of the area boot.
    """
    node = root / "dev/disk/by-partuuid" / entry.partuuid
    if entry.partuuid and node.exists():
        with esp.mounted(runner, f"/dev/{sysfs.kernel_name(str(node.relative_to(root)), root)}") as mount:
            if esp.read_switch(mount) == "dispatch":
                return
            esp.remove_own(mount)
    try:
        nvram.remove(runner, entry.number)
    except Fault as fault:
        if fault.id != "command.missing":
            raise
        nvram.remove_variable(entry.number, root)
