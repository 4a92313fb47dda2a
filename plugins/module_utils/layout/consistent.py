# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does a resolved layout make sense? Asked of every document, for nothing behind it asks again.

A layout that was resolved here always does. One from a file need not: its fields have their types, and
still a reference may lead nowhere, or a partition lie beyond the disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .. import shape
from . import overlay
from .names import LVM_NAME, MOMENTS, SLOTS

if TYPE_CHECKING:
    from .model import ResolvedFileSystem, ResolvedLayout, ResolvedPartition, ResolvedVolumeGroup

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
#: As above, or the serial number of a FAT.
_FILE_SYSTEM_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-F]{4}-[0-9A-F]{4}")
_ID = re.compile(r"[a-z][a-z0-9_]*")
_KINDS = ("ext4", "xfs", "vfat", "swap")
_MIB = 1 << 20
#: What a GPT has room for; UEFI specification 5.3.
_ENTRIES = 128

Problems = Iterator[str]


def problems(layout: ResolvedLayout) -> list[str]:
    """Return everything that is wrong, each with its path."""
    found = [*_whole(layout)]
    for index, part in enumerate(layout.partitions):
        found += _partition(layout, part, f".partitions[{index}]")
    for index, part in enumerate(layout.until_commit):
        found += _partition(layout, part, f".until_commit[{index}]")
    found += _overlaps(layout)
    for index, group in enumerate(layout.volume_groups):
        found += _group(layout, group, f".volume_groups[{index}]")
    for index, system in enumerate(layout.file_systems):
        found += _file_system(layout, system, f".file_systems[{index}]")
    return [*found, *_twice(layout), *_slots(layout), *_dispatch(layout), *overlay.problems(layout)]


def _whole(layout: ResolvedLayout) -> Problems:
    if shape.line(layout.name) or not layout.name:
        yield ".name: must be a name on one line"
    if layout.table != "gpt":
        yield ".table: must be gpt"
    if not _GUID.fullmatch(layout.disk_guid):
        yield ".disk_guid: must be a GUID"
    if layout.sector_bytes not in (512, 4096):
        yield ".sector_bytes: must be 512 or 4096"
    if not 0 < layout.disk_bytes < 1 << 64:
        yield ".disk_bytes: must be the size of a disk"


def _partition(layout: ResolvedLayout, part: ResolvedPartition, path: str) -> Problems:
    yield from _identity(part.id, f"{path}.id")
    yield from _moment(part.at, f"{path}.at")
    if not 1 <= part.number <= _ENTRIES:
        yield f"{path}.number: must lie between 1 and {_ENTRIES}"
    if shape.line(part.name) or ":" in part.name or len(part.name.encode("utf-16-le", "surrogatepass")) > 72:
        yield f"{path}.name: must be at most 36 characters without a colon"
    for key, value in (("type_guid", part.type_guid), ("uuid", part.uuid)):
        if not _GUID.fullmatch(value):
            yield f"{path}.{key}: must be a GUID"
    if any(not 0 <= bit < 64 for bit in part.attributes):
        yield f"{path}.attributes: must be bits from 0 to 63"
    if part.start_lba < 1 or part.sectors < 1:
        yield f"{path}.start_lba: the partition must begin behind the first sector and have sectors"
    elif layout.sector_bytes > 0 and part.start_lba + part.sectors > layout.disk_bytes // layout.sector_bytes:
        yield f"{path}.sectors: the partition must end on the disk"


def _overlaps(layout: ResolvedLayout) -> Problems:
    # What goes at commit lies where something is made then, and on nothing that is there before.
    before = [part for part in layout.partitions if part.at == "convert"]
    rows = [(".partitions", layout.partitions)]
    if layout.until_commit:
        rows.append((".until_commit", (*before, *layout.until_commit)))
    for path, together in rows:
        places = sorted((part.start_lba, part.sectors, part.id) for part in together)
        for (start, sectors, one), (following, _sectors, other) in zip(places, places[1:]):
            if start + sectors > following:
                yield f"{path}: {one} and {other} overlap"


def _group(layout: ResolvedLayout, group: ResolvedVolumeGroup, path: str) -> Problems:
    yield from _identity(group.id, f"{path}.id")
    yield from _moment(group.at, f"{path}.at")
    if not LVM_NAME.fullmatch(group.name):
        yield f"{path}.name: must be a name that LVM allows"
    parts = {part.id: part for part in layout.partitions}
    if not group.partitions:
        yield f"{path}.partitions: must not be empty"
    for index, one in enumerate(group.partitions):
        if one not in parts:
            yield f"{path}.partitions[{index}]: there is no such partition"
    if group.extent_bytes < _MIB or group.extent_bytes & (group.extent_bytes - 1):
        yield f"{path}.extent_bytes: must be a power of two of at least 1 MiB"
        return
    for index, volume in enumerate(group.volumes):
        where = f"{path}.volumes[{index}]"
        yield from _identity(volume.id, f"{where}.id")
        yield from _moment(volume.at, f"{where}.at")
        if not LVM_NAME.fullmatch(volume.name):
            yield f"{where}.name: must be a name that LVM allows"
        if volume.extents < 1:
            yield f"{where}.extents: must be at least 1"
        if volume.bytes != volume.extents * group.extent_bytes:
            yield f"{where}.bytes: must be the bytes of its extents"
    yield from _extents(layout, group, path)


def _extents(layout: ResolvedLayout, group: ResolvedVolumeGroup, path: str) -> Problems:
    """Volumes lie at extents of the group that are there, and not on one another."""
    sectors = {part.id: part.sectors for part in layout.partitions}
    rooms = [max(sectors.get(one, 0) * layout.sector_bytes - _MIB, 0) // group.extent_bytes for one in group.partitions]
    if sum(volume.extents for volume in group.volumes) > sum(rooms):
        yield f"{path}.volumes: need more extents than the partitions of the group have"
    if not group.partition_extents:
        return
    if list(group.partition_extents) != rooms:
        yield f"{path}.partition_extents: must be the extents that the partitions hold"
    end = 0
    for volume in sorted(group.volumes, key=lambda volume: volume.first):
        if volume.first < end:
            yield f"{path}.volumes: {volume.id} begins in the volume before it"
        end = volume.first + volume.extents
    if end > sum(rooms):
        yield f"{path}.volumes: the last one must end in the group"


def _file_system(layout: ResolvedLayout, system: ResolvedFileSystem, path: str) -> Problems:
    yield from _moment(system.at, f"{path}.at")
    if system.on not in _devices(layout):
        yield f"{path}.on: there is no such partition or volume"
    if system.kind not in _KINDS:
        yield f"{path}.kind: must be one of {', '.join(_KINDS)}"
    if shape.line(system.label) or system.label.startswith("-"):
        yield f"{path}.label: must be one line that is no option"
    if not _FILE_SYSTEM_UUID.fullmatch(system.uuid):
        yield f"{path}.uuid: must be the UUID of a file system"
    if system.mount and (shape.path(system.mount) or shape.word(system.mount)):
        yield f"{path}.mount: must be an absolute path without blanks"
    if shape.word(system.options):
        yield f"{path}.options: must be one word"


def _twice(layout: ResolvedLayout) -> Problems:
    volumes = [volume for group in layout.volume_groups for volume in group.volumes]
    parts = (*layout.partitions, *layout.until_commit)
    ids = [part.id for part in parts] + [group.id for group in layout.volume_groups]
    yield from _repeated("id", ids + [volume.id for volume in volumes], ".")
    yield from _repeated("number", [part.number for part in parts], ".partitions")
    yield from _repeated("uuid", [part.uuid.upper() for part in parts], ".partitions")
    yield from _repeated("name", [group.name for group in layout.volume_groups], ".volume_groups")
    yield from _repeated("on", [system.on for system in layout.file_systems], ".file_systems")
    for index, group in enumerate(layout.volume_groups):
        yield from _repeated("name", [one.name for one in group.volumes], f".volume_groups[{index}].volumes")


def _slots(layout: ResolvedLayout) -> Problems:
    systems = {system.on: system for system in layout.file_systems}
    volumes = {volume.id for group in layout.volume_groups for volume in group.volumes}
    if "a" not in layout.slots:
        yield ".slots.a: is missing"
    for slot, value in layout.slots.items():
        if slot not in SLOTS:
            yield f".slots.{slot}: slots are {' and '.join(SLOTS)}"
        yield from _moment(value.at, f".slots.{slot}.at")
        if value.root not in volumes:
            yield f".slots.{slot}.root: there is no such volume"
        elif value.root not in systems or systems[value.root].mount != "/":
            yield f".slots.{slot}.root: needs a file system that is mounted at /"


def _dispatch(layout: ResolvedLayout) -> Problems:
    if layout.dispatch not in {part.id for part in layout.partitions}:
        yield ".dispatch: there is no such partition"
    elif not any(system.on == layout.dispatch and system.mount for system in layout.file_systems):
        yield ".dispatch: needs a file system with a mount point"


def _devices(layout: ResolvedLayout) -> set[str]:
    return {part.id for part in layout.partitions} | {
        volume.id for group in layout.volume_groups for volume in group.volumes
    }


def _identity(value: str, path: str) -> Problems:
    if not _ID.fullmatch(value):
        yield f"{path}: must be lower case letters, digits and _"


def _moment(value: str, path: str) -> Problems:
    if value not in MOMENTS:
        yield f"{path}: must be one of {', '.join(MOMENTS)}"


def _repeated(what: str, values: Iterable[object], path: str) -> Problems:
    known = list(values)
    if len(set(known)) != len(known):
        yield f"{path}: each {what} must occur once"
