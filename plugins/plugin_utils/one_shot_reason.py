# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: why stage two was never seen, as far as GRUB's environment block tells it in the old system.

GRUB strikes out the one-shot before it loads what it names, so whether it is still there parts a boot loader that
never looked from a convert kernel that ended.
"""

from __future__ import annotations

from ..module_utils.boot.dispatcher import ONE_SHOT
from ..module_utils.faults import convert as kinds
from ..module_utils.faults.fault import FaultKind

_MARK = "# GRUB Environment Block"
#: What root runs on the old system: Debian's place, that of the RHEL family, and theirs under UEFI before version 9.
COMMAND = "cat /boot/grub/grubenv /boot/grub2/grubenv /boot/efi/EFI/*/grubenv 2>/dev/null"


def read(text: str) -> FaultKind | None:
    """Return the fault that says more than ``convert.fell_back``; none where no environment block could be read."""
    if _MARK not in text:
        return None
    lines = text.replace("\r", "").split("\n")
    return kinds.ONE_SHOT_IGNORED if f"next_entry={ONE_SHOT}" in lines else kinds.ENDED_EARLY
