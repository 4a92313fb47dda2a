# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and writes the parts of a lifeboat on the raw disk, a megabyte at a time.

Past the page cache where that is possible (O_DIRECT, open(2)): what is checked is then what the disk has
and not what the kernel remembers, and a payload of any size takes no memory.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ..archive.durable import write_all
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..units import align_up
from .model import BLOCK, Extent, Part

CHUNK = 1 << 20

#: Called with bytes done so far and bytes in all.
Progress = Callable[[int, int], None]


class Reader:
    """The content of extents as one stream of ``size`` bytes; never holds more than a megabyte of it."""

    def __init__(self, node: str | Path, extents: Sequence[Extent], size: int) -> None:
        self.size = size
        self._handle = _open(node, os.O_RDONLY)
        self._pieces = _pieces(extents)
        self._left = size
        # An anonymous map begins at a page, as O_DIRECT wants it.
        self._buffer = mmap.mmap(-1, CHUNK)
        self._ready = memoryview(b"")

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def next(self) -> memoryview:
        """Return the next bytes, at most a megabyte, none at the end; valid until the next call."""
        if self._left <= 0:
            return memoryview(b"")
        start, length = next(self._pieces)
        view = memoryview(self._buffer)[:length]
        _read_all(self._handle, view, start)
        count = min(length, self._left)
        self._left -= count
        return view[:count]

    def readinto(self, buffer: memoryview) -> int:
        """Fill as much of a buffer as is at hand; return the number of bytes, 0 at the end."""
        if not self._ready:
            self._ready = self.next()
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def close(self) -> None:
        """Give the handle back; a second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


@dataclass(frozen=True)
class PackedPart:
    """A part as the archive of a restore (``archive/packed.py``): read from the disk, never kept."""

    node: str
    part: Part

    def __str__(self) -> str:
        return f"part {self.part.name} of the lifeboat on {self.node}"

    def open(self) -> Reader:
        return open_part(self.node, self.part)


def open_part(node: str | Path, part: Part) -> Reader:
    """Return a reader of a part's content; raises ``OSError``."""
    return Reader(node, part.extents, part.size)


def read_extents(node: str | Path, extents: Sequence[Extent], size: int) -> Iterator[memoryview]:
    """Yield ``size`` bytes from extents of the disk; each piece is valid until the next is asked for."""
    with Reader(node, extents, size) as reader:
        while piece := reader.next():
            yield piece


def write_extent(node: str | Path, start: int, data: bytes | memoryview) -> None:
    """Write bytes at a place of the disk; both are multiples of 4096. They are on the disk when it returns."""
    if start % BLOCK or len(data) % BLOCK:
        raise ValueError(f"not whole blocks: {len(data)} bytes at {start}")
    aligned = mmap.mmap(-1, len(data))
    aligned[:] = bytes(data)
    handle = _open(node, os.O_WRONLY | os.O_DSYNC)
    try:
        _write_all(handle, memoryview(aligned), start)
    finally:
        os.close(handle)


def write_part(
    node: str | Path, part: Part, source: Iterable[bytes | memoryview], progress: Progress | None = None
) -> None:
    """Write a part's content, and zeros up to the end of its last block; on the disk when it returns.

    Raises ``ValueError`` for a source that has more or fewer bytes than the part.
    """
    handle = _open(node, os.O_WRONLY)
    try:
        gathered = _Gather(source)
        done = 0
        for start, length in _pieces(part.extents):
            wanted = min(length, part.size - done)
            if wanted <= 0:
                break
            view = gathered.fill(wanted)
            done += wanted
            _write_all(handle, view, start)
            if progress is not None:
                progress(done, part.size)
        gathered.require_end()
        os.fsync(handle)
    finally:
        os.close(handle)


def copy_part(node: str | Path, part: Part, target: Path, progress: Progress | None = None) -> None:
    """Copy a part into a file."""
    done = 0
    with open(target, "wb", buffering=0) as file:
        for piece in read_extents(node, part.extents, part.size):
            write_all(file.fileno(), piece)
            done += len(piece)
            if progress is not None:
                progress(done, part.size)
        os.fsync(file.fileno())


def digest_of(node: str | Path, part: Part, progress: Progress | None = None) -> str:
    """Return the SHA-256 of a part as the disk has it, in hex; raises ``OSError``."""
    digest = hashlib.sha256()
    done = 0
    for piece in read_extents(node, part.extents, part.size):
        digest.update(piece)
        done += len(piece)
        if progress is not None:
            progress(done, part.size)
    return digest.hexdigest()


def verify_part(node: str | Path, part: Part, progress: Progress | None = None) -> None:
    """Raise ``Fault`` ``lifeboat.damaged`` unless the disk holds the part with its digest."""
    try:
        found = digest_of(node, part, progress)
    except OSError as error:
        raise Fault(kinds.DAMAGED, part=part.name, problem=f"it cannot be read: {error.strerror}") from error
    if found != part.sha256:
        raise Fault(kinds.DAMAGED, part=part.name, problem=f"its digest is {found} instead of {part.sha256}")


class _Gather:
    """Cuts a stream of pieces of any length into buffers that a disk takes: aligned, whole blocks."""

    def __init__(self, source: Iterable[bytes | memoryview]) -> None:
        self._source = iter(source)
        self._buffer = mmap.mmap(-1, CHUNK)
        self._left = memoryview(b"")

    def fill(self, count: int) -> memoryview:
        """Return the next ``count`` bytes, with zeros up to a whole block."""
        view = memoryview(self._buffer)
        filled = 0
        while filled < count:
            piece = self._left or self._next()
            if not piece:
                raise ValueError(f"the source ends {count - filled} bytes too early")
            taken = min(len(piece), count - filled)
            view[filled : filled + taken] = piece[:taken]
            filled, self._left = filled + taken, piece[taken:]
        end = align_up(count, BLOCK)
        view[count:end] = bytes(end - count)
        return view[:end]

    def _next(self) -> memoryview:
        for piece in self._source:
            return memoryview(piece)
        return memoryview(b"")

    def require_end(self) -> None:
        if self._left or self._next():
            raise ValueError("the source has more bytes than the part")


def _pieces(extents: Sequence[Extent]) -> Iterator[tuple[int, int]]:
    """Yield start and length of pieces of at most a megabyte."""
    for one in extents:
        for start in range(one.start, one.end, CHUNK):
            yield start, min(CHUNK, one.end - start)


def _open(node: str | Path, flags: int) -> int:
    # A memory file system, which only tests have, refuses O_DIRECT.
    with contextlib.suppress(OSError):
        return os.open(node, flags | os.O_DIRECT | os.O_CLOEXEC)
    return os.open(node, flags | os.O_CLOEXEC)


def _read_all(handle: int, view: memoryview, start: int) -> None:
    done = 0
    while done < len(view):
        count = os.preadv(handle, [view[done:]], start + done)
        if count == 0:
            raise OSError(errno.EIO, "the disk ends too early")
        done += count


def _write_all(handle: int, data: bytes | memoryview, start: int) -> None:
    view = memoryview(data)
    done = 0
    while done < len(view):
        done += os.pwritev(handle, [view[done:]], start + done)
