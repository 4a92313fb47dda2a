# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Room for the lifeboat in the old system's own file system: one file whose blocks lie where they may.

No file system lets its user choose blocks. So the file is given more and more of them, those that lie in
the allowed ranges of the disk are kept, and the others are given back at the end and not before: at once,
they would be handed out again. The file system is never filled beyond ``spare_bytes``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..archive.durable import sync_directory
from ..boot import mounts
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..units import GIB, MIB, align_down, align_up, format_size
from . import file_extents
from .model import BLOCK, Extent, intersect

#: The file of the lifeboat on the old root; removed by ``disarm``.
FILE = Path("/var/lib/dualroot/lifeboat")
#: What is left to the old system at every moment: this, and this share of the whole for root's own use.
KEEP_FREE_BYTES = 256 * MIB
KEEP_FREE_SHARE = 0.05
#: Smaller pieces are left alone: preflight does not count them, and a boot loader lists every piece.
SMALLEST = MIB
_FIRST_STEP = 64 * MIB
_LARGEST_STEP = 4 * GIB
_SMALL_STEP = 2 * MIB
#: The search ends when this many times the size of the file system was taken and given back.
MOST_ROUNDS = 4
#: They tell the place of a file on the device below them; btrfs for example tells places of its own.
_FILE_SYSTEMS = ("ext4", "xfs")


@dataclass(frozen=True)
class Piece:
    """Bytes of the file that lie in one run on the disk: offset in the file, and where on the disk."""

    logical: int
    extent: Extent


@dataclass(frozen=True)
class _Wish:
    """Bytes in all, and bytes of one extent."""

    needed: int
    whole: int

    def missing(self, found: Sequence[Extent]) -> int:
        in_all = self.needed - sum(one.length for one in found)
        return max(in_all, self.whole if max((one.length for one in found), default=0) < self.whole else 0)


def claim(
    path: Path,
    needed: int,
    allowed: Sequence[Extent],
    partition_start: int,
    *,
    least: int | None = None,
    whole: int = 0,
) -> tuple[Extent, ...]:
    """Return extents of the disk, together ``needed`` bytes, that from now on belong to the file ``path``.

    ``partition_start`` is the byte of the disk at which the file system begins, ``least`` what is
    enough where ``needed`` cannot be had, and one extent has ``whole`` bytes. What the file has already
    is kept where it is allowed, so a second call changes nothing. Raises ``Fault`` ``lifeboat.file_system`` or
    ``lifeboat.no_room``, and the file is then what it was before.
    """
    least = needed if least is None else least
    check_file_system(path)
    existed = path.exists()
    handle = _open(path)
    before = os.fstat(handle).st_size
    try:
        try:
            found = _grow(handle, _Wish(needed, whole), allowed, partition_start)
            _check_found(found, needed, least, whole)
            keep = choose(found, needed)
            _give_back(handle, keep, partition_start)
        except (Fault, OSError):
            os.ftruncate(handle, before)
            raise
        os.fsync(handle)
    except OSError as error:
        raise Fault(kinds.FILE_SYSTEM, problem=f"{error.strerror}.") from error
    finally:
        os.close(handle)
        if not existed and _is_empty(path):
            path.unlink()
    sync_directory(path.parent)
    return keep


def held(path: Path, allowed: Sequence[Extent], partition_start: int) -> tuple[Extent, ...]:
    """Return the allowed extents of the disk that the file has; nothing where there is no such file."""
    if not path.is_file():
        return ()
    check_file_system(path)
    handle = _open(path, os.O_RDONLY)
    try:
        return _usable(pieces(handle, partition_start), allowed)
    finally:
        os.close(handle)


def pieces(handle: int, partition_start: int) -> list[Piece]:
    """Return where the bytes of an open file lie on the disk, in the order of the file."""
    return [
        Piece(one.logical, Extent(one.physical + partition_start, one.length)) for one in file_extents.read_map(handle)
    ]


def release(path: Path) -> bool:
    """Give everything back by removing the file; return whether there was one. It overwrites nothing."""
    if not path.is_file():
        return False
    path.unlink()
    sync_directory(path.parent)
    return True


def check_file_system(path: Path) -> None:
    """Raise ``Fault`` ``lifeboat.file_system`` unless the blocks of a file there have a known place."""
    mount = mounts.find(path.parent)
    kind = mount.fstype if mount else "unknown"
    if kind not in _FILE_SYSTEMS:
        raise Fault(kinds.FILE_SYSTEM, problem=f"It is {kind}.")


def spare_bytes(handle: int) -> int:
    """Return how many bytes may still be taken from the file system of an open file."""
    space = os.fstatvfs(handle)
    free, for_all = space.f_bfree * space.f_frsize, space.f_bavail * space.f_frsize
    reserve = max(int(space.f_blocks * space.f_frsize * KEEP_FREE_SHARE), KEEP_FREE_BYTES)
    return max(0, min(free - reserve, for_all - KEEP_FREE_BYTES))


def merge(extents: Sequence[Extent]) -> list[Extent]:
    """Return extents sorted, with those that touch or overlap as one."""
    merged: list[Extent] = []
    for one in sorted(extents):
        if merged and one.start <= merged[-1].end:
            last = merged.pop()
            one = Extent(last.start, max(last.end, one.end) - last.start)
        merged.append(one)
    return merged


def choose(extents: Sequence[Extent], needed: int) -> tuple[Extent, ...]:
    """Return the largest extents that together have ``needed`` bytes, the last of them cut, by place."""
    chosen: list[Extent] = []
    left = align_up(needed, BLOCK)
    for one in sorted(extents, key=lambda extent: (-extent.length, extent.start)):
        if left <= 0:
            break
        length = min(one.length, max(left, SMALLEST))
        chosen.append(Extent(one.start, length))
        left -= length
    return tuple(sorted(chosen))


def _check_found(found: Sequence[Extent], needed: int, least: int, whole: int) -> None:
    missing = {
        "kernel": whole - max((one.length for one in found), default=0),
        "payload": least - sum(one.length for one in found),
    }
    for part, count in missing.items():
        if count > 0:
            raise Fault(kinds.NO_ROOM, part=part, missing=format_size(count), needed=format_size(needed))


def _grow(handle: int, wish: _Wish, allowed: Sequence[Extent], partition_start: int) -> tuple[Extent, ...]:
    """Give the file more until enough of it is allowed, or until the whole file system was tried."""
    step, taken, piece = _FIRST_STEP, 0, _LARGEST_STEP
    most = MOST_ROUNDS * os.fstatvfs(handle).f_blocks * os.fstatvfs(handle).f_frsize
    while True:
        found = _usable(pieces(handle, partition_start), allowed)
        missing = wish.missing(found)
        if missing <= 0 or taken >= most:
            return found
        size = align_down(min(max(missing, step), spare_bytes(handle)), MIB)
        if size <= 0:
            # Allocators go on behind the last block of a file: what lies far behind makes room for a look ahead.
            if not _give_back(handle, found, partition_start, most=_FIRST_STEP):
                return found
            size = align_down(min(_FIRST_STEP, spare_bytes(handle)), MIB)
            # A large wish is given a large free place, so that the small ones would never come up.
            piece = _SMALL_STEP
        taken += max(size, MIB)
        step = min(step * 2, _LARGEST_STEP)
        if size > 0 and not _extend(handle, size, piece):
            return _usable(pieces(handle, partition_start), allowed)


def _extend(handle: int, size: int, piece: int) -> bool:
    """Give the file ``size`` more bytes, asked for by the ``piece``; return whether they could be had."""
    end = align_up(os.fstat(handle).st_size, MIB)
    try:
        for start in range(end, end + size, piece):
            file_extents.allocate(handle, start, min(piece, end + size - start))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):
            raise
        # Another program took the room in between, or the file has the largest size that it may have.
        # What was given counts, and must lie inside the file's size: XFS gives back what lies beyond.
        mapped = file_extents.read_map(handle, end)
        if mapped:
            os.ftruncate(handle, mapped[-1].logical + mapped[-1].length)
        return False
    return True


def _usable(found: Sequence[Piece], allowed: Sequence[Extent]) -> tuple[Extent, ...]:
    common = intersect(merge([piece.extent for piece in found]), merge(allowed))
    return tuple(one for one in map(_whole_blocks, common) if one.length >= SMALLEST)


def _whole_blocks(one: Extent) -> Extent:
    start = align_up(one.start, BLOCK)
    return Extent(start, align_down(one.end, BLOCK) - start)


def _give_back(handle: int, keep: Sequence[Extent], partition_start: int, most: int | None = None) -> int:
    """Take the blocks from the file that are not needed for ``keep``; return how many bytes they were.

    With ``most`` it ends when that many are given back, those first that the file got first.
    """
    block = os.fstatvfs(handle).f_frsize
    given = 0
    for piece in pieces(handle, partition_start):
        for start, end in _gaps(piece.extent, keep):
            # Blocks of the file system, which may begin anywhere on the disk.
            first = align_up(piece.logical + start - piece.extent.start, block)
            last = align_down(piece.logical + end - piece.extent.start, block)
            if most is not None:
                last = min(last, first + most - given)
            if first < last:
                file_extents.punch(handle, first, last - first)
                given += last - first
    return given


def _gaps(extent: Extent, keep: Sequence[Extent]) -> Iterator[tuple[int, int]]:
    position = extent.start
    for one in keep:
        if one.end <= position or one.start >= extent.end:
            continue
        if one.start > position:
            yield position, one.start
        position = one.end
    if position < extent.end:
        yield position, extent.end


def _open(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fault(kinds.FILE_SYSTEM, problem=f"{path} cannot be opened: {error.strerror}.") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Fault(kinds.FILE_SYSTEM, problem=f"{path} is no plain file.")
    if flags & os.O_RDWR:
        os.fchmod(handle, 0o600)
    return handle


def _is_empty(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size == 0
    return False
