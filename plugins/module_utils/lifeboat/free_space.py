# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a running host has room for a lifeboat: free blocks of its root, gaps of its disk, swap. Read-only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk import mbr, sysfs
from ..disk.gpt import Damaged, parse_header
from ..disk.read import Table, read_disk
from ..faults.fault import Fault
from ..runner import Runner
from ..units import MIB
from . import claim, ext4_bitmaps, file_extents, fsmap
from .model import BLOCK, Extent, intersect, subtract

#: Pieces smaller than this are not worth a place in the description.
LEAST_BYTES = MIB
MOST_AREAS = 4096
#: Left alone at either end of the disk and of every old partition: boot code, tables, signatures.
EDGE = MIB
#: Kept free on the old root at every moment, so that the old system goes on working.
RESERVE_BYTES = 256 * MIB
RESERVE_SHARE = 0.05

#: Tells the free extents of a mounted file system; raises ``OSError``.
ReadMap = Callable[[Path], Iterable[Extent]]


@dataclass(frozen=True)
class Root:
    """The root file system: its partition's node and place on the disk in bytes."""

    node: str
    fstype: str
    start: int
    length: int


def read_room(
    runner: Runner,
    disk: dict[str, Any],
    root_node: str,
    fstype: str,
    root: Path = sysfs.ROOT,
    read_map: ReadMap | None = None,
) -> dict[str, Any]:
    """Return ``{areas, budget_bytes, held_bytes, doubt}`` for one disk of the facts.

    ``areas`` are ``{kind, start, length, node}`` in bytes of the disk, of kind ``file``, ``gap`` or
    ``swap``; ``budget_bytes`` is what a file on the root may grow to, ``held_bytes`` the free bytes that
    stay free; ``doubt`` says why the root's free blocks are not among the areas, or is empty.
    """
    sector = int(disk["logical_sector_bytes"])
    places = {
        str(part["node"]): Extent(int(part["start_lba"]) * sector, int(part["sectors"]) * sector)
        for part in disk["partitions"]
    }
    areas = [_area("gap", one, "") for one in _gaps(str(disk["name"]), list(places.values()), root)]
    for part in disk["partitions"]:
        if part["fstype"] == "swap":
            areas += [_area("swap", one, str(part["node"])) for one in _without_edges(places[str(part["node"])])]
    found = Found([], doubt="the root file system lies on no partition of this disk")
    if root_node in places:
        inside = Root(root_node, fstype, places[root_node].start, places[root_node].length)
        found = root_areas(runner, inside, root, read_map or fsmap.free_extents)
        areas = [_area("file", one, root_node) for one in found.areas] + areas
    usable = 0 if found.doubt else budget(root) + found.kept_bytes
    return {
        "areas": _largest(areas),
        "budget_bytes": usable,
        "held_bytes": max(found.free_bytes - usable, 0),
        "doubt": found.doubt,
    }


def budget(path: Path) -> int:
    """Return how many bytes a file on this file system may take without crowding the old system."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0
    reserve = max(int(found.f_blocks * found.f_frsize * RESERVE_SHARE), RESERVE_BYTES)
    return max(min(found.f_bavail * found.f_frsize - RESERVE_BYTES, found.f_bfree * found.f_frsize - reserve), 0)


@dataclass
class Found:
    """Free areas of the root in bytes of the disk, all its free bytes, and why it has no areas.

    ``kept_bytes`` of them are in the file of an earlier run, which a new one uses again.
    """

    areas: list[Extent]
    free_bytes: int = 0
    kept_bytes: int = 0
    doubt: str = ""


def root_areas(runner: Runner, where: Root, root: Path, read_map: ReadMap) -> Found:
    """Return the free areas of the root file system that ``root`` is mounted from."""
    if where.fstype not in ("ext4", "xfs"):
        return Found([], doubt=f"no file on {where.fstype} can be given its blocks without writing them")
    try:
        if where.fstype == "ext4" and not ext4_bitmaps.read_super(root / where.node.lstrip("/")).extents:
            return Found([], doubt="the root was made as ext3 and has no extents")
        found = _free_of_root(runner, where, root, read_map)
        earlier = _of_earlier_run(root, where.start)
    except (OSError, ext4_bitmaps.NotKnown, Fault) as error:
        return Found([], doubt=f"its free blocks cannot be read ({error})")
    found.kept_bytes = sum(one.length for one in earlier)
    found.free_bytes += found.kept_bytes
    whole = Extent(where.start + EDGE, where.length - 2 * EDGE)
    found.areas = [one for one in intersect(sorted([*found.areas, *earlier]), [whole]) if one.length >= LEAST_BYTES]
    return found


def _of_earlier_run(root: Path, start: int) -> list[Extent]:
    """Return the blocks of a lifeboat that is still there: nobody gave it back."""
    try:
        handle = os.open(root / claim.FILE.relative_to("/"), os.O_RDONLY)
    except FileNotFoundError:
        return []
    try:
        mapped = file_extents.read_map(handle)
    finally:
        os.close(handle)
    return list(_large((Extent(one.physical, one.length) for one in mapped), start))


def _free_of_root(runner: Runner, where: Root, root: Path, read_map: ReadMap) -> Found:
    try:
        return _collected(read_map(root), where.start)
    except OSError:
        # Before Linux 4.12, or a file system driver that does not know the call.
        if where.fstype == "ext4":
            return _collected(ext4_bitmaps.free_extents(root / where.node.lstrip("/")), where.start)
        return _collected(xfs_free(runner, where.node, root), where.start)


def _collected(extents: Iterable[Extent], start: int) -> Found:
    found = Found([])

    def counted() -> Iterator[Extent]:
        for one in extents:
            found.free_bytes += one.length
            yield one

    found.areas = list(_large(counted(), start))
    return found


def _large(found: Iterable[Extent], start: int) -> Iterator[Extent]:
    """Yield whole blocks of what is large enough; ``found`` is joined where pieces meet."""
    held: Extent | None = None
    for one in found:
        if held is not None and held.end == one.start:
            held = Extent(held.start, held.length + one.length)
            continue
        if held is not None:
            yield from _shifted(held, start)
        held = one
    if held is not None:
        yield from _shifted(held, start)


def _shifted(one: Extent, start: int) -> Iterator[Extent]:
    first = -(-(one.start + start) // BLOCK) * BLOCK
    length = (one.end + start - first) // BLOCK * BLOCK
    if length >= LEAST_BYTES:
        yield Extent(first, length)


#: Linux, include/uapi/linux/fs.h: write out and forget what the page cache has of a device.
_BLKFLSBUF = 0x1261


def xfs_free(runner: Runner, node: str, root: Path) -> list[Extent]:
    """Ask xfs_db(8) for the free extents by group: lines of group, block in it, blocks.

    What XFS has in its log alone is not among them, so this is a forecast; the file system itself gives the blocks.
    """
    with (root / node.lstrip("/")).open("rb") as stream:
        if stat.S_ISBLK(os.fstat(stream.fileno()).st_mode):
            # XFS writes past the page cache of its device, where an earlier look has left what there was then.
            fcntl.ioctl(stream, _BLKFLSBUF)
        head = stream.read(512)
    if head[:4] != b"XFSB":
        raise OSError("no XFS super block")
    # struct xfs_dsb: block size at 4, blocks per group at 84, both big endian.
    block, group_blocks = int.from_bytes(head[4:8], "big"), int.from_bytes(head[84:88], "big")
    found = []
    for line in runner.run(["xfs_db", "-r", "-c", "freesp -d", node]).text.splitlines():
        words = line.split()
        if len(words) == 3 and all(word.isdigit() for word in words):
            group, first, blocks = (int(word) for word in words)
            found.append(Extent((group * group_blocks + first) * block, blocks * block))
    return sorted(found)


def _gaps(node: str, partitions: list[Extent], root: Path) -> list[Extent]:
    """Return what no partition covers; nothing where the table cannot be read."""
    try:
        table = read_disk(node, root)
    except Fault:
        return []
    if table.kind == "none":
        return []
    whole = [Extent(EDGE, table.size_bytes - 2 * EDGE)]
    free = subtract(whole, [*partitions, *_containers(table), *_former_backup(node, table, root)])
    return [one for found in sorted(free) for one in _shifted(found, 0)]


def _containers(table: Table) -> list[Extent]:
    """An extended partition holds the records that chain its logical ones, in the gaps between them."""
    entries = table.mbr.entries if table.mbr and table.kind == "dos" else ()
    return [
        Extent(one.first_lba * table.sector_bytes, one.sectors * table.sector_bytes)
        for one in entries
        if one.type in mbr.EXTENDED
    ]


def _former_backup(node: str, table: Table, root: Path) -> list[Extent]:
    """A disk that has grown has the second copy of its GPT still where its end was, and may need it."""
    if table.kind == "gpt":
        with contextlib.suppress(OSError, Damaged), (root / node.lstrip("/")).open("rb") as stream:
            stream.seek(table.sector_bytes)
            header = parse_header(stream.read(table.sector_bytes))
            sectors = header.alternate_lba - header.last_usable_lba
            if sectors > 0:
                return [Extent((header.last_usable_lba + 1) * table.sector_bytes, sectors * table.sector_bytes)]
    return []


def _without_edges(one: Extent) -> list[Extent]:
    inner = Extent(one.start + EDGE, one.length - 2 * EDGE)
    return list(_shifted(inner, 0)) if inner.length > 0 else []


def _area(kind: str, one: Extent, node: str) -> dict[str, Any]:
    return {"kind": kind, "start": one.start, "length": one.length, "node": node}


def _largest(areas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = sorted(areas, key=lambda one: -int(one["length"]))[:MOST_AREAS]
    return sorted(kept, key=lambda one: int(one["start"]))
