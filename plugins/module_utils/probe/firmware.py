# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Firmware, Secure Boot and kernel lockdown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..disk import sysfs

_GLOBAL_VARIABLES = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def read_firmware(root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return ``firmware`` (``bios`` or ``uefi``), ``secure_boot`` and ``lockdown``."""
    uefi = (root / "sys/firmware/efi").is_dir()
    return {
        "firmware": "uefi" if uefi else "bios",
        "secure_boot": uefi and _secure_boot(root),
        "lockdown": _lockdown(root),
    }


def _secure_boot(root: Path) -> bool:
    """An efivars file has four bytes of attributes before its value; kernel's efivarfs document."""
    for path, offset in (
        (f"sys/firmware/efi/efivars/SecureBoot-{_GLOBAL_VARIABLES}", 4),
        (f"sys/firmware/efi/vars/SecureBoot-{_GLOBAL_VARIABLES}/data", 0),
    ):
        try:
            return (root / path).read_bytes()[offset : offset + 1] == b"\x01"
        except OSError:
            continue
    return False


def _lockdown(root: Path) -> str:
    """The mode in force stands in brackets: ``none [integrity] confidentiality``."""
    match = re.search(r"\[(\w+)\]", sysfs.read(root, "sys/kernel/security/lockdown"))
    return match.group(1) if match else "none"
