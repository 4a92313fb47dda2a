# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which disk is converted, and whether it can be known again after the reboot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...faults import preflight as kinds
from ..context import Context, find_disks, show_disks
from ..finding import Finding, find


def check(context: Context) -> Iterator[Finding]:
    """Check that there is exactly one disk that can be meant."""
    if context.options.disk:
        yield from _named(context)
    elif context.facts.get("system_disk_doubt") or context.system_disk is None:
        doubt = context.facts.get("system_disk_doubt") or "no disk under / was found"
        yield find(kinds.DISK_DOUBT, doubt=doubt, disks=show_disks(context.disks))
    disk = context.system_disk
    if disk is None:
        return
    if disk.get("readonly"):
        yield find(kinds.DISK_READ_ONLY, disk=disk["name"])
    yield from _identity(context, disk)
    if disk.get("table") not in ("gpt", None):
        yield find(kinds.TABLE_REPLACED, table=disk["table"])


def _named(context: Context) -> Iterator[Finding]:
    wanted, disks = context.options.disk, context.disks
    matches = find_disks(disks, wanted)
    if not matches:
        yield find(kinds.DISK_UNKNOWN, wanted=wanted, disks=show_disks(disks))
    elif len(matches) > 1:
        names = ", ".join(disk["name"] for disk in matches)
        yield find(kinds.DISK_AMBIGUOUS, wanted=wanted, matches=names, disks=show_disks(disks))
    else:
        under_root = context.root.get("disk") or context.facts.get("system_disk")
        if under_root and matches[0]["name"] != under_root:
            yield find(kinds.DISK_NOT_SYSTEM, wanted=wanted, system=under_root)


def _identity(context: Context, disk: Mapping[str, Any]) -> Iterator[Finding]:
    if not disk.get("serial") and not disk.get("wwn"):
        yield find(kinds.WEAK_IDENTITY, disk=disk["name"])
    root_uuid = context.root.get("uuid")
    for twin in context.disks:
        if twin["name"] == disk["name"]:
            continue
        holds_root = root_uuid and root_uuid in file_system_uuids(twin)
        if holds_root:
            yield find(kinds.ROOT_UUID_TWICE, uuid=root_uuid, twin=twin["name"])
        if holds_root and _signature(twin) == _signature(disk):
            yield find(kinds.DISK_NO_IDENTITY, disk=disk["name"], twin=twin["name"])


def file_system_uuids(disk: Mapping[str, Any]) -> set[str]:
    """Return the ids of the file systems on the partitions of a disk."""
    return {part["fs_uuid"] for part in disk.get("partitions") or [] if part.get("fs_uuid")}


def _signature(disk: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(disk.get(name) or "" for name in ("serial", "wwn", "size_bytes", "table_id"))
