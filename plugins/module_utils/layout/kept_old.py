# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old root partition stays where it begins until ``commit``, and the layout is laid around it.

A file system cannot be moved in a moment, but it can end earlier. So the old root keeps its start, its number
and, in a GPT, its identity; what is made at ``convert`` lies before it or at the end of the disk; and the
one partition that the layout makes at ``commit`` lies where the old root is until then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..faults import layout as kinds
from ..faults.fault import Fault
from ..units import MIB, align_down, align_up, format_size
from .kept import Kept, Place, esp_of
from .model import TYPE_GUIDS, Layout, Partition, ResolvedPartition

#: Partitions start at multiples of this; as in ``resolve``.
_ALIGNMENT = MIB
#: A file system ends with a whole block of its own, and the largest that ext4 has here is this.
_BLOCK = 4096
#: The id of the old root in a resolved layout; no layout may use it for something else.
ID = "old_root"


@dataclass(frozen=True)
class OldRoot:
    """The old root partition, in bytes; the GPT fields are empty where the old table was an MBR.

    ``least`` is what its file system needs; ``shrinkable`` tells whether it may be made smaller at all.
    """

    number: int
    start: int
    length: int
    least: int
    shrinkable: bool
    partuuid: str = ""
    type_guid: str = ""
    name: str = ""
    attributes: tuple[int, ...] = ()


class Around(NamedTuple):
    """The places of the layout's partitions, in its order, and how many bytes the old root keeps."""

    places: tuple[Place, ...]
    kept_bytes: int


def arrange(layout: Layout, sizes: Sequence[int | None], end: int, old: OldRoot, esp: Kept | None = None) -> Around:
    """Return where everything lies on a disk that may be used up to ``end``; sizes in bytes as in ``kept.arrange``.

    Raises ``Fault`` ``layout.old_not_beside`` for a layout that leaves no place, ``layout.no_room_beside_old``,
    ``layout.no_esp``.
    """
    own_esp = esp_of(layout) if esp is not None else None
    if esp is not None and own_esp is None:
        raise Fault(kinds.NO_ESP, layout=layout.name)
    late = _made_at_commit(layout, sizes)
    stop = esp.start if esp is not None and esp.start > old.start else end
    free = _areas(old, end, esp)
    tail: list[tuple[Partition, int]] = []
    found: dict[str, tuple[int, int]] = {}
    for part, size in zip(layout.partitions, sizes):
        if part in (late, own_esp) or size is None:
            continue
        start = _take(free, size)
        if start is None:
            tail.append((part, size))
        else:
            found[part.id] = (start, size)
    limit = align_down(stop, _ALIGNMENT) - sum(size for _part, size in tail)
    position = limit
    for part, size in tail:
        found[part.id] = (position, size)
        position += size
    first = align_up(old.start, _ALIGNMENT)
    found[late.id] = (first, limit - first)
    _require(layout, limit - first, late.minimum, f"Partition {late.id}, which takes its place at commit,")
    kept_bytes = _kept_bytes(layout, old, limit)
    taken = {old.number, *((esp.number,) if esp else ())}
    numbers = _numbers(taken)
    places = []
    for part in layout.partitions:
        if esp is not None and part is own_esp:
            places.append(Place(esp.number, esp.start, esp.length))
        else:
            places.append(Place(next(numbers), *found[part.id]))
    return Around(tuple(places), kept_bytes)


def resolved_old(old: OldRoot, kept_bytes: int, sector_bytes: int, uuid: str) -> ResolvedPartition:
    """Return the old root as the new table has it; ``uuid`` is for one that a GPT did not have before."""
    return ResolvedPartition(
        id=ID,
        number=old.number,
        name=old.name if old.partuuid else "old root",
        type_guid=old.type_guid or TYPE_GUIDS["linux"],
        start_lba=old.start // sector_bytes,
        sectors=kept_bytes // sector_bytes,
        uuid=old.partuuid or uuid,
        attributes=old.attributes,
        at="convert",
        kept=True,
    )


def _made_at_commit(layout: Layout, sizes: Sequence[int | None]) -> Partition:
    """Return the partition that takes the old root's place; it must be one, and take what there is."""
    late = [(part, size) for part, size in zip(layout.partitions, sizes) if part.at == "commit"]
    if len(late) != 1:
        raise Fault(kinds.OLD_NOT_BESIDE, layout=layout.name, reason=f"it makes {len(late)} partitions at commit")
    if late[0][1] is not None:
        raise Fault(kinds.OLD_NOT_BESIDE, layout=layout.name, reason=f"{late[0][0].id} does not take the rest")
    return late[0][0]


def _areas(old: OldRoot, end: int, esp: Kept | None) -> list[tuple[int, int]]:
    """Return the free areas that are not the one in which the old root lies."""
    marks = [(old.start, old.start + old.length)]
    if esp is not None:
        marks.append((esp.start, esp.start + esp.length))
    areas = []
    position = _ALIGNMENT
    for start, stop in sorted(marks):
        areas.append((position, align_down(min(start, end), _ALIGNMENT)))
        position = align_up(stop, _ALIGNMENT)
    if esp is not None and esp.start > old.start:
        areas[-1] = (0, 0)  # between the two: the end of the old root's own area
        areas.append((position, end))
    return [area for area in areas if area[1] > area[0]]


def _take(free: list[tuple[int, int]], size: int) -> int | None:
    for index, (start, stop) in enumerate(free):
        if stop - start >= size:
            free[index] = (start + size, stop)
            return start
    return None


def _kept_bytes(layout: Layout, old: OldRoot, limit: int) -> int:
    if old.start + old.length <= limit:
        return old.length
    kept = align_down(limit - old.start, _BLOCK)
    if not old.shrinkable:
        _require(layout, kept, old.length, "The old root, which cannot be made smaller,")
    _require(layout, kept, old.least, "The old root")
    return kept


def _require(layout: Layout, found: int, needed: int, what: str) -> None:
    missing = max(needed, _ALIGNMENT) - found
    if missing > 0:
        raise Fault(
            kinds.NO_ROOM_BESIDE_OLD,
            layout=layout.name,
            what_needs=what,
            needed=format_size(max(needed, _ALIGNMENT)),
            found=format_size(max(found, 0)),
            missing=f"{format_size(missing)} ({missing} bytes)",
        )


def _numbers(taken: set[int]) -> Iterator[int]:
    number = 0
    while True:
        number += 1
        if number not in taken:
            yield number
