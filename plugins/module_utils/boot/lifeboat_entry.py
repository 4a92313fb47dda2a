# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What GRUB is told to start a lifeboat: block lists and the kernel line, the same for BIOS and UEFI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faults import boot as kinds
from ..faults.fault import Fault
from ..lifeboat.model import Lifeboat, Part
from ..units import MIB
from .dispatcher import ALWAYS, PAUSE_SECONDS, check_arguments, terminal

#: GRUB counts in sectors of this size on every disk (GRUB_DISK_SECTOR_SIZE).
SECTOR = 512

#: What the commands below come from.
MODULES = ("linux", "boot", "echo", "sleep", "reboot", "serial", "terminal")

#: The rescue parser has no ``if``: each line is tried whatever became of the one before. ``boot`` after a
#: failed ``linux`` does nothing. After a failed ``initrd`` it starts a kernel that finds no root and panics,
#: and ``panic=`` in its line restarts the machine: another try, like the last line here.
_CONFIG = """\
{terminal}echo "dualroot: run {run} goes on from the lifeboat"
linux {kernel} {arguments}
echo "dualroot: loading the initramfs, {mebibytes} MiB"
initrd {initrds}
boot
echo "dualroot: the lifeboat cannot be loaded; next try in {pause} s"
sleep {pause}
reboot
"""


def arguments(plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the kernel arguments of a stage two that goes on: past return from its first moment, no limit.

    The host's consoles come last, so that the last of them is its console. Raises ``Fault``
    ``boot.argument_unsafe``.
    """
    # What was begun is what goes on: a restore is no conversion.
    mode = "restore" if plan.get("mode") == "restore" else "convert"
    own = (f"dualroot.mode={mode}", f"dualroot.run={plan['run_id']}", "dualroot.resume=1")
    return check_arguments((*own, *ALWAYS, *plan["kernel_arguments"]))


def block_lists(part: Part, device: str) -> tuple[str, ...]:
    """Return the pieces of a part as GRUB's file names, without what fills the last block.

    One name each: GRUB loses its place where one read goes from one extent of a block list to the next
    (``grub_fs_blocklist_read``, seen with 2.06), so a name with several extents cannot be loaded.
    """
    left = -(-part.size // SECTOR)
    names = []
    for extent in part.extents:
        count = min(extent.length // SECTOR, left)
        if count:
            names.append(f"({device}){extent.start // SECTOR}+{count}")
        left -= count
    return tuple(names)


def config(plan: Mapping[str, Any], lifeboat: Lifeboat, device: str = "$root", pause: int = PAUSE_SECONDS) -> str:
    """Return the configuration; ``device`` is GRUB's name of the disk, which ``$root`` is in a core image
    that was given no other.

    GRUB joins the pieces of the initramfs, which are its arguments, at multiples of 4 bytes; they all are
    whole sectors. The kernel is one file and must lie in one piece: raises ``Fault`` ``boot.kernel_in_pieces``.
    """
    kernel = block_lists(lifeboat.part("kernel"), device)
    if len(kernel) != 1:
        raise Fault(kinds.KERNEL_IN_PIECES, pieces=len(kernel))
    return _CONFIG.format(
        terminal=terminal(plan["kernel_arguments"]),
        run=check_arguments([str(plan["run_id"])])[0],
        kernel=kernel[0],
        arguments=" ".join(arguments(plan)),
        initrds=" ".join(name for part in ("initrd", "host") for name in block_lists(lifeboat.part(part), device)),
        mebibytes=-(-lifeboat.part("initrd").size // MIB),
        pause=pause,
    )
