# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether every place of a lifeboat is still its own, asked when the old system no longer runs.

The old system ran on after staging: a person may have removed the file of the lifeboat, so that its blocks went to
other files, or made something else of the swap. Nothing is written before this was asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from . import berth, claim
from .disk import read_extents, write_extent
from .model import BLOCK, Extent, Lifeboat, Part, intersect, subtract

_CHUNK = 1 << 20
#: The last bytes of a page are swap's mark (linux/swap.h, union swap_header); x86-64 has pages of 4096 bytes. A
#: hibernated system has another mark there.
_SWAP_MARK = b"SWAPSPACE2"


def require(
    node: str, lifeboat: Lifeboat, plan: Mapping[str, Any], file: Path, device: str, root: Path = sysfs.ROOT
) -> None:
    """Raise ``Fault`` ``lifeboat.place_taken`` unless all places are the lifeboat's; nothing is changed.

    ``plan`` is the plan's ``lifeboat``, ``file`` the lifeboat's file on the file system of ``device``, mounted for
    reading. Raises ``lifeboat.file_system`` where that cannot tell where a file lies.
    """
    for extent, user in _taken(node, lifeboat, plan, _pieces(node, file, device, root), root):
        raise Fault(kinds.PLACE_TAKEN, start=extent.start, end=extent.end, node=node, user=user)


def shred_in_swap(node: str, part: Part, swaps: Any, root: Path = sysfs.ROOT) -> None:
    """Overwrite what of a part lies in swap: zeros, which swap can hold as well as anything; raises ``OSError``."""
    for one in intersect(part.extents, _extents(swaps)):
        if _is_swap(node, one, root):
            for start in range(one.start, one.end, _CHUNK):
                write_extent(root / node.lstrip("/"), start, bytes(min(_CHUNK, one.end - start)))


def _taken(
    node: str, lifeboat: Lifeboat, plan: Mapping[str, Any], held: list[Extent], root: Path
) -> Iterator[tuple[Extent, str]]:
    gaps, swaps = _extents(plan["gaps"]), _extents(plan["swaps"])
    for part in lifeboat.parts.values():
        for one in subtract(part.extents, [*held, *gaps, *swaps]):
            yield one, "the old system, whose file of the lifeboat no longer has it"
        for one in intersect(part.extents, gaps):
            user = berth.user_of(node, one, root)
            if user:
                yield one, user
        for one in intersect(part.extents, swaps):
            if not _is_swap(node, one, root):
                yield one, "something that is not swap"


def _pieces(node: str, file: Path, device: str, root: Path) -> list[Extent]:
    """Return what of the disk the file has; nothing where there is no file, or no plain partition below it."""
    name = sysfs.kernel_name(device, root)
    parts = sysfs.partitions(sysfs.kernel_name(node, root), root)
    start = next((part.start_bytes for part in parts if part.name == name), None)
    if start is None or not file.is_file():
        return []
    handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return [piece.extent for piece in claim.pieces(handle, start)]
    finally:
        os.close(handle)


def _is_swap(node: str, place: Extent, root: Path) -> bool:
    for part in sysfs.partitions(sysfs.kernel_name(node, root), root):
        whole = Extent(part.start_bytes, part.size_bytes)
        if subtract([place], [whole]):
            continue
        path = root / node.lstrip("/")
        first = b"".join(map(bytes, read_extents(path, [Extent(whole.start, BLOCK)], BLOCK)))
        return first.endswith(_SWAP_MARK)
    return False


def _extents(pairs: Any) -> list[Extent]:
    return [Extent(int(start), int(length)) for start, length in pairs]
