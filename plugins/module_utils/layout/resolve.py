# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Turns the wishes of a layout into sectors, extents and UUIDs, for one disk and one run."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..faults import layout as kinds
from ..faults.fault import Fault
from ..units import MIB, align_down, align_up, format_size
from . import kept_old
from .kept import Kept, Place, arrange, esp_of
from .kept_old import OldRoot
from .model import (
    Layout,
    Partition,
    ResolvedFileSystem,
    ResolvedLayout,
    ResolvedPartition,
    ResolvedSlot,
    ResolvedVolume,
    ResolvedVolumeGroup,
    Size,
    VolumeGroup,
)
from .overlay import Overlay

#: Partitions start at multiples of this: 2048 sectors of 512 bytes, 256 of 4096.
ALIGNMENT = MIB

#: A GPT has 128 entries of 128 bytes, and the backup has them too; UEFI specification 5.3.
ENTRIES_BYTES = 128 * 128

#: What LVM keeps at the start of a physical volume before its first extent (``pe_start``).
PHYSICAL_VOLUME_HEADER = MIB

_NAMESPACE = uuid.UUID("8f3f5d52-5f5e-5d0c-9d8b-6b1f6a1f6d77")


@dataclass(frozen=True)
class DiskGeometry:
    """What of a disk decides sizes: its bytes and the bytes of a logical sector (512 or 4096)."""

    size_bytes: int
    sector_bytes: int = 512

    @property
    def first_usable_lba(self) -> int:
        return 2 + ENTRIES_BYTES // self.sector_bytes

    @property
    def last_usable_lba(self) -> int:
        return self.size_bytes // self.sector_bytes - 2 - ENTRIES_BYTES // self.sector_bytes


def resolve(
    layout: Layout, disk: DiskGeometry, seed: str, kept: Kept | None = None, old: OldRoot | None = None
) -> ResolvedLayout:
    """Return the layout for one disk; ``seed`` (the run id) decides every UUID.

    ``kept`` is the EFI system partition of a UEFI host, which stays, and ``old`` the old root where it stays
    until ``commit``. The same arguments give the same result. Raises ``Fault`` ``layout.disk_too_small``,
    ``layout.no_esp``, ``layout.no_room_beside_esp``, ``layout.no_room_beside_old``, ``layout.old_not_beside`` or
    ``layout.group_too_small``, which name by how much.
    """
    identify = _identifier(seed)
    until_commit: tuple[ResolvedPartition, ...] = ()
    if old is None:
        places = _places(layout, disk, kept)
    else:
        places, kept_bytes = kept_old.arrange(layout, _wishes(layout, disk), _usable_end(disk), old, kept)
        uuid_of_old = identify(f"partition/{kept_old.ID}").upper()
        until_commit = (kept_old.resolved_old(old, kept_bytes, disk.sector_bytes, uuid_of_old),)
    partitions = []
    for part, place in zip(layout.partitions, places):
        resolved = _resolve_partition(part, place, disk, identify)
        if kept is not None and place.number == kept.number:
            resolved = replace(resolved, uuid=kept.partuuid, kept=True)
        partitions.append(resolved)
    sizes_by_id = {part.id: place.size for part, place in zip(layout.partitions, places)}
    groups = tuple(resolve_group(group, _extents(group, sizes_by_id)) for group in layout.volume_groups)
    moments = {volume.id: volume.at for group in groups for volume in group.volumes}
    return ResolvedLayout(
        name=layout.name,
        table="gpt",
        disk_guid=identify("disk").upper(),
        sector_bytes=disk.sector_bytes,
        disk_bytes=disk.size_bytes,
        partitions=tuple(partitions),
        volume_groups=groups,
        file_systems=tuple(_resolve_file_systems(layout, identify, kept)),
        slots={
            slot: ResolvedSlot(root, moments[root], layout.overlays.get(slot, Overlay()))
            for slot, root in sorted(layout.slots.items())
        },
        dispatch=layout.dispatch,
        until_commit=until_commit,
    )


def resolve_group(group: VolumeGroup, partition_extents: Sequence[int]) -> ResolvedVolumeGroup:
    """Return a group on partitions of so many extents, its volumes one behind the other in them."""
    extents = sum(partition_extents)
    counts = divide(
        [volume.size for volume in group.volumes],
        whole=extents * group.extent_bytes,
        available=extents * group.extent_bytes,
        step=group.extent_bytes,
    )
    missing = -counts.left
    reason = f"Its volumes need {format_size(extents * group.extent_bytes + missing)}."
    for volume, count in zip(group.volumes, counts.sizes):
        short = max(volume.minimum, group.extent_bytes) - count
        if short > 0 and missing <= 0:
            missing = short
            reason = f"Volume {volume.name} would have {format_size(max(count, 0))}, less than its minimum."
    if missing > 0:
        raise Fault(
            kinds.GROUP_TOO_SMALL,
            group=group.name,
            available=format_size(extents * group.extent_bytes),
            missing=f"{format_size(missing)} ({missing} bytes)",
            reason=reason,
        )
    return ResolvedVolumeGroup(
        id=group.id,
        name=group.name,
        partitions=group.partitions,
        extent_bytes=group.extent_bytes,
        at=group.at,
        volumes=tuple(_resolve_volumes(group, counts.sizes)),
        partition_extents=tuple(partition_extents),
    )


@dataclass(frozen=True)
class Division:
    """Sizes in bytes, in the order asked for; ``left`` is negative by what does not fit."""

    sizes: tuple[int, ...]
    left: int


def divide(wishes: Sequence[Size], *, whole: int, available: int, step: int) -> Division:
    """Divide ``available`` bytes: fixed sizes up to whole steps, percent of ``whole`` down to
    whole steps, the rest to the one wish that asks for it."""
    sizes = [_wished(wish, whole, step) for wish in wishes]
    left = align_down(available, step) - sum(sizes)
    for index, wish in enumerate(wishes):
        if wish.kind == "rest":
            sizes[index] = max(left, 0)
            left = min(left, 0)
    return Division(tuple(sizes), left)


def _wished(wish: Size, whole: int, step: int) -> int:
    if wish.kind == "fixed":
        return align_up(wish.amount, step)
    return align_down(whole * wish.amount // 10000, step) if wish.kind == "percent" else 0


def _usable_end(disk: DiskGeometry) -> int:
    return align_down((disk.last_usable_lba + 1) * disk.sector_bytes, ALIGNMENT)


def _partition_sizes(layout: Layout, disk: DiskGeometry) -> tuple[int, ...]:
    end = _usable_end(disk)
    wishes = [part.size for part in layout.partitions]
    division = divide(wishes, whole=disk.size_bytes, available=end - ALIGNMENT, step=ALIGNMENT)
    missing = -division.left
    reason = "The sizes of its partitions together are larger than the disk."
    for part, size in zip(layout.partitions, division.sizes):
        short = max(part.minimum, ALIGNMENT) - size
        if short > 0 and missing <= 0:
            missing = short
            reason = f"Partition {part.id} would have {format_size(size)}, less than its minimum."
    if missing > 0:
        raise Fault(
            kinds.DISK_TOO_SMALL,
            layout=layout.name,
            disk=format_size(disk.size_bytes),
            missing=f"{format_size(missing)} ({missing} bytes)",
            reason=reason,
        )
    return division.sizes


def _places(layout: Layout, disk: DiskGeometry, kept: Kept | None) -> tuple[Place, ...]:
    if kept is not None:
        return arrange(layout, _wishes(layout, disk), _usable_end(disk), kept)
    places = []
    position = ALIGNMENT
    for index, size in enumerate(_partition_sizes(layout, disk)):
        places.append(Place(index + 1, position, size))
        position += size
    return tuple(places)


def _wishes(layout: Layout, disk: DiskGeometry) -> list[int | None]:
    """Return the sizes of the partitions, None for the one that takes the rest."""
    wishes = [part.size for part in layout.partitions]
    return [None if wish.kind == "rest" else _wished(wish, disk.size_bytes, ALIGNMENT) for wish in wishes]


def _resolve_partition(
    part: Partition, place: Place, disk: DiskGeometry, identify: Callable[[str], str]
) -> ResolvedPartition:
    return ResolvedPartition(
        id=part.id,
        number=place.number,
        name=part.name,
        type_guid=part.type_guid,
        start_lba=place.start // disk.sector_bytes,
        sectors=place.size // disk.sector_bytes,
        uuid=identify(f"partition/{part.id}").upper(),
        attributes=part.attributes,
        at=part.at,
    )


def _resolve_file_systems(
    layout: Layout, identify: Callable[[str], str], kept: Kept | None
) -> Iterator[ResolvedFileSystem]:
    esp = esp_of(layout)
    for system in layout.file_systems:
        label, identity = system.label, _file_system_uuid(system.kind, identify(f"file_system/{system.on}"))
        if kept is not None and esp is not None and system.on == esp.id:
            label, identity = kept.label, kept.fs_uuid
        yield ResolvedFileSystem(system.on, system.kind, label, identity, system.mount, system.options, system.at)


def _extents(group: VolumeGroup, sizes: dict[str, int]) -> list[int]:
    return [(sizes[one] - PHYSICAL_VOLUME_HEADER) // group.extent_bytes for one in group.partitions]


def _resolve_volumes(group: VolumeGroup, sizes: Sequence[int]) -> Iterator[ResolvedVolume]:
    first = 0
    for volume, size in zip(group.volumes, sizes):
        extents = size // group.extent_bytes
        yield ResolvedVolume(volume.id, volume.name, extents, size, volume.at, first)
        first += extents


def _identifier(seed: str) -> Callable[[str], str]:
    base = uuid.uuid5(_NAMESPACE, seed)
    return lambda what: str(uuid.uuid5(base, what))


def partition_uuids(seed: str, ids: Sequence[str]) -> frozenset[str]:
    """Return the UUIDs, in lower case, of partitions of these ids in a layout that was resolved with ``seed``."""
    identify = _identifier(seed)
    return frozenset(identify(f"partition/{one}").lower() for one in ids)


def _file_system_uuid(kind: str, identity: str) -> str:
    """FAT has a serial number of 32 bits, shown as ABCD-1234, in place of a UUID."""
    return f"{identity[:4]}-{identity[4:8]}".upper() if kind == "vfat" else identity
