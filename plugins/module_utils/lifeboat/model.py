# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lifeboat consists of and where on the disk it lies; ``lifeboat.json`` is this, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..units import MIB, align_down, align_up, format_size
from . import reading

SCHEMA = 1

#: The parts, in the order in which they are placed: what needs whole pieces first, the bulk last.
PARTS = ("kernel", "initrd", "host", "payload", "journal", "core")

#: The journal of stage two, which has to survive a cut: some hundred steps of a few sectors each.
JOURNAL_BYTES = 4 * MIB
#: The boot loader's core of BIOS hosts: one piece, because it loads itself by one block list.
CORE_BYTES = MIB
#: Kept for the host's own part (plan, capture, keys, manifest, lifeboat.json) where its size is not known yet.
HOST_BYTES = 2 * MIB

#: Parts in one piece: GRUB 2.06 reads a file by block list no further than its first extent (measured).
WHOLE = ("core", "kernel")

#: Every extent starts and ends at multiples of this, so that it is whole sectors on every disk.
BLOCK = 4096


@dataclass(frozen=True, order=True)
class Extent:
    """Bytes of the whole disk, both multiples of 4096."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Part:
    """``size`` is the bytes of the content, the extents may be longer by what fills the last block.

    ``sha256`` (hex) is empty for ``host``, ``journal`` and ``core``.
    """

    name: str
    size: int
    sha256: str
    extents: tuple[Extent, ...]


@dataclass(frozen=True)
class Lifeboat:
    """The lifeboat of one run on one disk; ``parts`` has every name of ``PARTS``."""

    run_id: str
    plan_digest: str
    disk_bytes: int
    sector_bytes: int
    parts: Mapping[str, Part]

    def part(self, name: str) -> Part:
        return self.parts[name]

    def to_document(self) -> dict[str, Any]:
        """Return ``lifeboat.json``: sizes in bytes, extents as ``[start, length]``."""
        return {
            "version": SCHEMA,
            "run_id": self.run_id,
            "plan_digest": self.plan_digest,
            "disk_bytes": self.disk_bytes,
            "sector_bytes": self.sector_bytes,
            "parts": {
                name: {
                    "size": part.size,
                    "sha256": part.sha256,
                    "extents": [[one.start, one.length] for one in part.extents],
                }
                for name, part in sorted(self.parts.items())
            },
        }

    @classmethod
    def from_document(cls, document: Any) -> Lifeboat:
        """Raises ``Fault`` ``lifeboat.invalid`` with the path of every problem."""
        problems: list[str] = []
        values = reading.read(document, SCHEMA, PARTS, problems)
        parts = {
            name: Part(name, size, sha256, tuple(Extent(start, length) for start, length in extents))
            for name, (size, sha256, extents) in values["parts"].items()
        }
        if not problems:
            _check(parts, values["disk_bytes"], problems)
        if problems:
            raise Fault(kinds.INVALID, problems="; ".join(problems[:20]))
        return cls(values["run_id"], values["plan_digest"], values["disk_bytes"], values["sector_bytes"], parts)


def sizes_of(document: Mapping[str, Any], host: int = HOST_BYTES) -> dict[str, int]:
    """Return the bytes of every part, for a plan or a manifest (both name the files alike)."""
    return {
        "kernel": int(document["environment"]["kernel"]["size"]),
        "initrd": int(document["environment"]["initrd"]["size"]),
        "host": host,
        "payload": int(document["payload"]["size"]),
        "journal": JOURNAL_BYTES,
        "core": CORE_BYTES,
    }


def needed_bytes(sizes: Mapping[str, int]) -> int:
    """Return the bytes of disk that parts of these sizes take."""
    return sum(align_up(size, BLOCK) for size in sizes.values())


def place(sizes: Mapping[str, int], areas: Sequence[Extent]) -> dict[str, tuple[Extent, ...]]:
    """Return where each part lies in ``areas``, which are tried in the order given (the preferred first).

    ``core`` and ``kernel`` get one piece each, and so do the other small parts where there is one, so that
    the boot loader's lists stay short. The payload takes what is left, in pieces.
    ``sizes`` may lack parts that are placed elsewhere. Raises ``Fault`` ``lifeboat.no_room``.
    """
    free = [one for one in map(_whole_blocks, areas) if one.length > 0]
    placed: dict[str, tuple[Extent, ...]] = {}
    for name in (*WHOLE, "journal", "initrd", "host", "payload"):
        if name not in sizes:
            continue
        wanted = align_up(sizes[name], BLOCK)
        whole = next((one for one in free if one.length >= wanted), None)
        if whole is not None:
            extents = [Extent(whole.start, wanted)]
        elif name in WHOLE or sum(one.length for one in free) < wanted:
            largest = max((one.length for one in free), default=0)
            found = largest if name in WHOLE else sum(one.length for one in free)
            raise Fault(
                kinds.NO_ROOM,
                part=name,
                needed=format_size(needed_bytes(sizes)),
                missing=format_size(wanted - found),
            )
        else:
            # In the order of preference for the bulk; in the largest pieces for what the boot loader reads.
            order = free if name == "payload" else sorted(free, key=lambda one: -one.length)
            extents = list(_pieces(order, wanted))
        placed[name] = tuple(sorted(extents))
        free = subtract(free, extents)
    return placed


def subtract(areas: Iterable[Extent], taken: Iterable[Extent]) -> list[Extent]:
    """Return what is left of ``areas``, in their order, without what is ``taken``."""
    left = list(areas)
    for away in taken:
        left = [piece for one in left for piece in _without(one, away)]
    return left


def intersect(areas: Iterable[Extent], allowed: Iterable[Extent]) -> list[Extent]:
    """Return the parts of ``areas``, in their order, that lie in one of ``allowed``."""
    limits = sorted(allowed)
    found = []
    for one in areas:
        for limit in limits:
            start, end = max(one.start, limit.start), min(one.end, limit.end)
            if start < end:
                found.append(Extent(start, end - start))
    return found


def _whole_blocks(area: Extent) -> Extent:
    start = align_up(area.start, BLOCK)
    return Extent(start, max(align_down(area.end, BLOCK) - start, 0))


def _pieces(areas: Iterable[Extent], wanted: int) -> Iterable[Extent]:
    for one in areas:
        length = min(one.length, wanted)
        if length:
            yield Extent(one.start, length)
        wanted -= length


def _without(one: Extent, away: Extent) -> list[Extent]:
    if away.end <= one.start or one.end <= away.start:
        return [one]
    pieces = [Extent(one.start, away.start - one.start), Extent(away.end, one.end - away.end)]
    return [piece for piece in pieces if piece.length > 0]


def _check(parts: Mapping[str, Part], disk_bytes: int, problems: list[str]) -> None:
    """Check what one field cannot show: sizes that fit, places on the disk, nothing twice."""
    taken: list[tuple[Extent, str]] = []
    for name, part in parts.items():
        if sum(one.length for one in part.extents) < part.size:
            problems.append(f".parts.{name}.extents: together smaller than the part")
        for index, one in enumerate(part.extents):
            taken.append((one, f".parts.{name}.extents[{index}]"))
            if one.end > disk_bytes:
                problems.append(f".parts.{name}.extents[{index}]: past the end of the disk")
    for name in WHOLE:
        if len(parts[name].extents) != 1:
            problems.append(f".parts.{name}.extents: exactly one is needed")
    taken.sort()
    for (before, place), (after, other) in zip(taken, taken[1:]):
        if after.start < before.end:
            problems.append(f"{other}: overlaps with {place}")
