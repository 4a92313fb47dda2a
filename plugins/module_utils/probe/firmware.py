# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Firmware with its boot entries, Secure Boot and kernel lockdown."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

from ..boot import nvram
from ..disk import sysfs

_GLOBAL_VARIABLES = "8be4df61-93ca-11d2-aa0d-00e098032b8c"


def read_firmware(root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return ``firmware`` (``bios`` or ``uefi``), ``efi`` (None with BIOS), ``secure_boot`` and ``lockdown``."""
    uefi = (root / "sys/firmware/efi").is_dir()
    return {
        "firmware": "uefi" if uefi else "bios",
        "efi": read_efi(root) if uefi else None,
        "secure_boot": uefi and _secure_boot(root),
        "lockdown": _lockdown(root),
    }


def read_efi(root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return what a UEFI firmware says of itself; ``free_bytes`` of its variables is None on older kernels."""
    names = sysfs.listing(root, nvram.DIRECTORY)
    free = None
    # efivarfs tells its size since Linux 6.7; before that all its numbers are 0.
    with contextlib.suppress(OSError):
        found = os.statvfs(root / nvram.DIRECTORY)
        free = found.f_bavail * found.f_frsize if found.f_blocks else None
    return {
        # Without the file (before Linux 3.14) nobody tells; a 64-bit kernel then had a 64-bit firmware.
        "bits": sysfs.read_number(root, "sys/firmware/efi/fw_platform_size") or 64,
        "variables": any(name.startswith("Boot") for name in names),
        "free_bytes": free,
        "boot_current": nvram.current(root),
        "boot_order": list(nvram.order(root)),
        "entries": [vars(entry) for entry in nvram.entries(root)],
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
