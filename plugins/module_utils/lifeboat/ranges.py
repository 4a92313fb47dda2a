# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a new layout writes nothing before ``commit``: the places that can hold a lifeboat."""

from __future__ import annotations

from collections.abc import Iterator

from ..layout.model import ResolvedLayout, ResolvedPartition, ResolvedVolumeGroup, is_due
from ..layout.resolve import PHYSICAL_VOLUME_HEADER
from ..units import MIB
from .model import Extent, intersect, subtract

#: Kept free at either end of the disk (boot code, tables and their copies) and of everything in which
#: a signature of old content may be looked for and wiped (wipefs(8), lvcreate(8) --wipesignatures).
EDGE = MIB


def allowed(resolved: ResolvedLayout) -> tuple[Extent, ...]:
    """Return the bytes of the disk that nothing before ``commit`` writes to, in order.

    That is: between and behind the partitions; a partition that is made at ``commit``; and in a volume
    group that is made at ``convert``, a volume without a file system until ``commit``, and extents of
    no volume. Of each, the first and the last MiB are left out.
    """
    disk = Extent(EDGE, resolved.disk_bytes - 2 * EDGE)
    free = [disk]
    for part in resolved.partitions:
        whole = _extent(resolved, part)
        free = subtract(free, [whole]) + intersect(list(_inside(resolved, part, whole)), [disk])
    return tuple(sorted(one for one in free if one.length > 0))


def _inside(resolved: ResolvedLayout, part: ResolvedPartition, whole: Extent) -> Iterator[Extent]:
    group = next((one for one in resolved.volume_groups if part.id in one.partitions), None)
    if not is_due(part.at, "convert") or (group is not None and not is_due(group.at, "convert")):
        yield from _without_edges(whole)
    elif group is not None and group.partition_extents:
        yield from _in_group(resolved, group, part.id, whole)


def _in_group(resolved: ResolvedLayout, group: ResolvedVolumeGroup, partition: str, whole: Extent) -> Iterator[Extent]:
    """Yield what of one partition of a group stays unwritten; volumes may begin in the partition before."""
    index = group.partitions.index(partition)
    base = sum(group.partition_extents[:index])
    end = base + group.partition_extents[index]
    data = whole.start + PHYSICAL_VOLUME_HEADER
    for first, extents in _unwritten(resolved, group):
        start, stop = max(first, base), min(first + extents, end)
        if start < stop:
            length = (stop - start) * group.extent_bytes
            yield from _without_edges(Extent(data + (start - base) * group.extent_bytes, length))


def _unwritten(resolved: ResolvedLayout, group: ResolvedVolumeGroup) -> Iterator[tuple[int, int]]:
    used = {system.on for system in resolved.file_systems if is_due(system.at, "convert")}
    following = 0
    for volume in group.volumes:
        following = max(following, volume.first + volume.extents)
        if volume.id not in used:
            yield volume.first, volume.extents
    yield following, max(sum(group.partition_extents) - following, 0)


def _extent(resolved: ResolvedLayout, part: ResolvedPartition) -> Extent:
    return Extent(part.start_lba * resolved.sector_bytes, part.sectors * resolved.sector_bytes)


def _without_edges(one: Extent) -> Iterator[Extent]:
    if one.length > 2 * EDGE:
        yield Extent(one.start + EDGE, one.length - 2 * EDGE)
