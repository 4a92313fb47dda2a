# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host has room for a lifeboat, and where: free blocks that the new layout leaves alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..layout.model import ResolvedLayout
from ..lifeboat.model import BLOCK, WHOLE, Extent, intersect, needed_bytes, sizes_of
from ..lifeboat.ranges import allowed
from ..units import MIB, align_up, format_size

#: Smaller pieces are not used.
LEAST_BYTES = MIB


@dataclass(frozen=True)
class Berth:
    """Where a lifeboat may lie on one host; every size in bytes, every extent on the disk.

    ``file_bytes`` is what a file on the old root gets there for certain: what is staged beside it and the
    reserve of the old system may both lie in the worst place. ``hoped_bytes`` is what it gets where they lie
    elsewhere. ``whole_bytes`` must be there in one piece, of which the largest has ``largest_bytes``.
    """

    wish: str
    needed_bytes: int
    allowed: tuple[Extent, ...]
    gaps: tuple[Extent, ...]
    swaps: tuple[Extent, ...]
    file_bytes: int
    hoped_bytes: int
    largest_bytes: int
    whole_bytes: int

    @property
    def found_bytes(self) -> int:
        return self.file_bytes + _total(self.gaps) + _total(self.swaps)

    @property
    def missing_bytes(self) -> int:
        """What is missing in all, or in the one piece; nothing where there is room for certain."""
        return max(self.needed_bytes - self.found_bytes, self.whole_bytes - self.largest_bytes, 0)

    @property
    def is_tight(self) -> bool:
        """Tell whether only staging can show that there is room; it changes nothing where there is none."""
        hoped = self.found_bytes - self.file_bytes + self.hoped_bytes
        return self.missing_bytes > 0 and hoped >= self.needed_bytes and self.largest_bytes >= self.whole_bytes

    @property
    def used(self) -> bool:
        """With ``auto``, a lifeboat is used only where there is room for certain."""
        return self.wish != "none" and (self.missing_bytes == 0 or (self.wish == "required" and self.is_tight))

    @property
    def waiting_bytes(self) -> int:
        """What must wait in its staged copy, to be written into swap by stage two."""
        return max(self.needed_bytes - self.hoped_bytes - _total(self.gaps), 0) if self.used else 0

    def to_plan(self) -> dict[str, Any]:
        """Return the ``lifeboat`` of a plan; extents as ``[start, length]``."""
        return {
            "wish": self.wish,
            "used": self.used,
            "needed_bytes": self.needed_bytes,
            "allowed": _pairs(self.allowed),
            "gaps": _pairs(self.gaps),
            "swaps": _pairs(self.swaps),
        }

    def places(self) -> str:
        """Return where it finds room, for people."""
        kinds = (
            (self.file_bytes, "free blocks of the old root"),
            (_total(self.gaps), "unpartitioned space"),
            (_total(self.swaps), "swap"),
        )
        return ", ".join(f"{format_size(size)} in {where}" for size, where in kinds if size) or "nowhere"


def find_berth(
    facts: Mapping[str, Any], manifest: Mapping[str, Any], layout: Mapping[str, Any], wish: str, staged_bytes: int
) -> Berth:
    """Return where a lifeboat may lie; ``staged_bytes`` are staged on the same file system before it."""
    free = allowed(ResolvedLayout.from_document(layout))
    areas = facts.get("lifeboat_areas") or []
    found = {kind: _of_kind(areas, kind, free) for kind in ("file", "gap", "swap")}
    sizes = sizes_of(manifest)
    budget = int(facts.get("lifeboat_budget_bytes") or 0) - staged_bytes
    certain = _total(found["file"]) - staged_bytes - int(facts.get("lifeboat_held_bytes") or 0)
    hoped_bytes = max(min(budget, _total(found["file"])), 0)
    usable = [*found["gap"], *found["swap"], *(found["file"] if hoped_bytes else ())]
    return Berth(
        wish=wish,
        needed_bytes=needed_bytes(sizes),
        allowed=free,
        gaps=found["gap"],
        swaps=found["swap"],
        file_bytes=max(min(hoped_bytes, certain), 0),
        hoped_bytes=hoped_bytes,
        largest_bytes=max((one.length for one in usable), default=0),
        whole_bytes=sum(align_up(sizes[name], BLOCK) for name in WHOLE),
    )


def _of_kind(areas: Iterable[Mapping[str, Any]], kind: str, free: Iterable[Extent]) -> tuple[Extent, ...]:
    of_kind = [Extent(int(one["start"]), int(one["length"])) for one in areas if one["kind"] == kind]
    return tuple(one for one in intersect(of_kind, free) if one.length >= LEAST_BYTES)


def _total(extents: Iterable[Extent]) -> int:
    return sum(one.length for one in extents)


def _pairs(extents: Iterable[Extent]) -> list[list[int]]:
    return [[one.start, one.length] for one in extents]
