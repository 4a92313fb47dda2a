# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the lifeboat of a restore lies: at the end of slot B's partition, which is given up for it.

The old root is made so small at first that it ends before the lifeboat, and grown to what it was once it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..layout.model import ResolvedLayout, is_due
from ..lifeboat import model
from ..units import MIB, align_down, align_up, format_size
from . import superblock
from .old_disk import OldDisk
from .superblock import Superblock

#: Nothing lies in the first and the last bytes of a disk: boot code, tables and their copies.
_EDGE = MIB
#: ext4's journal, and what a root wants to be free beside its files.
_SPARE = 256 * MIB
#: A packed file takes less in a tar than its blocks and its inode take in a file system.
_GROWTH = 1.2


@dataclass(frozen=True)
class Berth:
    """``start`` and ``length`` in bytes of the disk, ``blocks`` of the old root at first; or why there is none."""

    start: int = 0
    length: int = 0
    blocks: int = 0
    doubt: str = ""

    def to_plan(self, wish: str) -> dict[str, Any]:
        """Return the ``lifeboat`` of a plan."""
        place = [[self.start, self.length]] if self.length else []
        return {
            "wish": wish,
            "used": bool(place),
            "needed_bytes": self.length,
            "allowed": place,
            "gaps": place,
            "swaps": [],
        }


def find(
    layout: ResolvedLayout, old: OldDisk, files: Mapping[str, Any], unpacked_bytes: int, *, edge: int = _EDGE
) -> Berth:
    """Find the place; ``files`` has ``environment`` and ``payload`` with their sizes, as a plan has."""
    if old.made is None:
        return Berth(doubt="the old root is not known")
    given_up = [part for part in layout.partitions if not is_due(part.at, "convert")]
    if len(given_up) != 1:
        return Berth(doubt=f"the layout makes {len(given_up)} partitions at commit, and room is found in one alone")
    if not unpacked_bytes:
        return Berth(doubt="nobody knows how much the archive unpacks to")
    needed = align_up(model.needed_bytes(model.sizes_of(files)), MIB)
    first = given_up[0].start_lba * layout.sector_bytes
    end = min(first + given_up[0].sectors * layout.sector_bytes, layout.disk_bytes - edge)
    # Sectors of the old disk that are put back must not fall on it.
    end = align_down(min([end, *(piece.start for piece in old.pieces if piece.start > first)]), MIB)
    start = end - needed
    if start < align_up(first, MIB):
        return Berth(doubt=f"slot B has no room for {format_size(needed)}")
    blocks = old.made.blocks
    if start < old.root_start + old.root_bytes and old.root_start < end:
        blocks = min(blocks, (start - old.root_start) // old.made.block_bytes)
    least = int(unpacked_bytes * _GROWTH) + overhead(old.made, blocks) + _SPARE
    if blocks * old.made.block_bytes < least:
        return Berth(doubt=f"before it there is no room for the old root, which needs {format_size(max(least, 0))}")
    return Berth(start, needed, blocks)


def overhead(made: Superblock, blocks: int) -> int:
    """Return what inode tables and reserved blocks take of a file system of ``blocks``."""
    return superblock.shrunk(made, blocks).inodes * made.inode_bytes + made.reserved * made.block_bytes
