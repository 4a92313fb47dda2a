# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The EFI system partition of the old system stays where it is, and the layout is laid around it.

The firmware's boot entries name it by number, start, size and id, and what starts the host during the
conversion lies on it: so it keeps all of these and its file system, and takes the place of the layout's
own EFI system partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..faults import layout as kinds
from ..faults.fault import Fault
from ..units import MIB, align_down, align_up, format_size
from .model import TYPE_GUIDS, Layout, Partition

#: Partitions start at multiples of this; as in ``resolve``.
_ALIGNMENT = MIB


@dataclass(frozen=True)
class Kept:
    """The old partition, in bytes; ``label`` is that of its FAT."""

    number: int
    start: int
    length: int
    partuuid: str
    fs_uuid: str
    label: str

    @classmethod
    def from_facts(cls, esp: Mapping[str, Any]) -> Kept:
        """Return what the facts of a host tell of its EFI system partition (their part ``esp``)."""
        return cls(
            number=int(esp["number"]),
            start=int(esp["start"]),
            length=int(esp["length"]),
            partuuid=str(esp["partuuid"]).upper(),
            fs_uuid=str(esp["fs_uuid"]),
            label=str(esp["label"]),
        )

    def to_plan(self) -> dict[str, Any]:
        """Return the field ``esp`` of a plan."""
        return {"start": self.start, "length": self.length, "partuuid": self.partuuid, "fs_uuid": self.fs_uuid}


@dataclass(frozen=True)
class Place:
    """Where a partition of the layout lies, in bytes."""

    number: int
    start: int
    size: int


def esp_of(layout: Layout) -> Partition | None:
    """Return the EFI system partition of a layout, None where it has none."""
    return next((part for part in layout.partitions if part.type_guid.upper() == TYPE_GUIDS["esp"]), None)


def arrange(layout: Layout, sizes: Sequence[int | None], end: int, kept: Kept) -> tuple[Place, ...]:
    """Return the places of the layout's partitions, in its order, on a disk that may be used up to ``end``.

    ``sizes`` are bytes in whole MiB, None for the one partition that takes the rest. Each goes into the
    first free area that holds it, the rest is the largest area that is left. Raises ``Fault``
    ``layout.no_esp`` or ``layout.no_room_beside_esp``.
    """
    own = esp_of(layout)
    if own is None:
        raise Fault(kinds.NO_ESP, layout=layout.name)
    free = [area for area in _around(kept, end) if area[1] > area[0]]
    found: dict[str, tuple[int, int]] = {}
    for part, size in zip(layout.partitions, sizes):
        if part is not own and size is not None:
            short = max(part.minimum, _ALIGNMENT) - size
            if short > 0:
                raise _no_room(short, part, layout)
            found[part.id] = (_take(free, part, size, layout), size)
    for part, size in zip(layout.partitions, sizes):
        if part is not own and size is None:
            start, stop = max(free, key=lambda area: area[1] - area[0], default=(0, 0))
            missing = max(part.minimum, _ALIGNMENT) - (stop - start)
            if missing > 0:
                raise _no_room(missing, part, layout)
            found[part.id] = (start, stop - start)
            free.remove((start, stop))
    numbers = _numbers(kept.number)
    return tuple(
        Place(kept.number, kept.start, kept.length) if part is own else Place(next(numbers), *found[part.id])
        for part in layout.partitions
    )


def _around(kept: Kept, end: int) -> list[tuple[int, int]]:
    before = (_ALIGNMENT, align_down(min(kept.start, end), _ALIGNMENT))
    return [before, (max(align_up(kept.start + kept.length, _ALIGNMENT), _ALIGNMENT), end)]


def _take(free: list[tuple[int, int]], part: Partition, size: int, layout: Layout) -> int:
    """Cut ``size`` bytes out of the first area that has them; return their start."""
    for index, (start, stop) in enumerate(free):
        if stop - start >= size:
            free[index] = (start + size, stop)
            return start
    raise _no_room(size - max((stop - start for start, stop in free), default=0), part, layout)


def _no_room(missing: int, part: Partition, layout: Layout) -> Fault:
    return Fault(
        kinds.NO_ROOM_BESIDE_ESP,
        layout=layout.name,
        partition=part.id,
        missing=f"{format_size(missing)} ({missing} bytes)",
    )


def _numbers(taken: int) -> Iterator[int]:
    number = 0
    while True:
        number += 1
        if number != taken:
            yield number
