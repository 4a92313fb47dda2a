# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EFI system partition from which a UEFI host was started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..layout.model import TYPE_GUIDS
from . import fat
from .mounts import space

#: Where distributions mount it.
_MOUNT_POINTS = ("/boot/efi", "/efi", "/boot")
_TYPES = (TYPE_GUIDS["esp"].lower(), "0xef")


def read_esp(
    disks: Sequence[Mapping[str, Any]], efi: Mapping[str, Any] | None, system_disk: str | None, root: Path = sysfs.ROOT
) -> dict[str, Any] | None:
    """Return the ``esp`` of the facts, None on a BIOS host and where there is none.

    Of several, the one that the firmware says to have started from counts, then the one that is mounted,
    then one on the system disk. ``start``, ``length`` and ``free_bytes`` are bytes.
    """
    found = [(disk, part) for disk in disks for part in disk["partitions"] if str(part["type"]).lower() in _TYPES]
    if efi is None or not found:
        return None
    entry = next((one for one in efi["entries"] if one["number"] == efi["boot_current"]), None)
    started = entry["partuuid"] if entry else ""

    def preference(candidate: tuple[Mapping[str, Any], Mapping[str, Any]]) -> tuple[bool, bool, bool]:
        disk, part = candidate
        mounted = any(target in _MOUNT_POINTS for target in part["mounts"])
        return (bool(started) and part["uuid"] == started, mounted, disk["name"] == system_disk)

    disk, part = max(found, key=preference)
    sector = int(disk["logical_sector_bytes"] or 512)
    targets = [target for target in part["mounts"] if target.startswith("/")]
    if targets:
        free: int | None = space(root / targets[0].lstrip("/"))[1]
    else:
        free = fat.free_bytes(root / part["node"].lstrip("/"))
    return {
        "node": part["node"],
        "disk": disk["name"],
        "table": disk["table"],
        "number": part["number"],
        "start": part["start_lba"] * sector,
        "length": part["sectors"] * sector,
        "partuuid": part["uuid"],
        "fstype": part["fstype"],
        "fs_uuid": part["fs_uuid"],
        "label": part["fs_label"],
        "mounts": targets,
        "free_bytes": free,
    }
