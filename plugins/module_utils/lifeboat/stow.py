# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put the parts of a lifeboat into their places on a running old system, and prove that the disk has them.

What lies in the file of the lifeboat is written through that file: the file system would go on to
show zeros for blocks that it believes unwritten, and may have older pages of them in memory. What lies in
unpartitioned space is written to the disk itself. Swap is left to stage two, when it is no longer in use.
Everything is then read back from the disk itself, past the page cache.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..archive.durable import sync_file_system, write_all
from ..boot.settle import settle
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..units import MIB
from . import claim, disk
from .model import Extent, Lifeboat, Part, intersect, subtract

_CHUNK = MIB
#: Bytes in the page cache at most, before they are brought to the disk and forgotten.
_DIRTY = 64 * MIB

#: Stage one gives these their content; ``journal`` and ``core`` are stage two's.
CONTENTS = ("kernel", "initrd", "host", "payload")


@dataclass(frozen=True)
class Ground:
    """Where the lifeboat of one host may lie: extents of the disk ``node``.

    ``file`` is the claimed file, on the file system that begins at byte ``partition_start`` of the disk;
    without one (the old root is no plain partition), that is ``None``.
    """

    node: str
    partition_start: int | None
    file: Path = claim.FILE
    gaps: tuple[Extent, ...] = ()
    swaps: tuple[Extent, ...] = ()

    def waits(self, part: Part) -> bool:
        """Tell whether some of a part lies in swap, where only stage two may write."""
        return bool(intersect(part.extents, self.swaps))


class Content:
    """What a part is to hold: a file or bytes, followed by zeros up to the end of its extents."""

    def __init__(self, source: Path | bytes) -> None:
        self._source = source

    def is_there(self) -> bool:
        return isinstance(self._source, bytes) or self._source.is_file()

    def pieces(self, extents: Sequence[Extent]) -> Iterator[tuple[Extent, bytes]]:
        """Yield what belongs where, at most a megabyte at a time; raises ``OSError``."""
        stream: IO[bytes] = io.BytesIO(self._source) if isinstance(self._source, bytes) else self._source.open("rb")
        with stream:
            for one in extents:
                for start in range(one.start, one.end, _CHUNK):
                    length = min(_CHUNK, one.end - start)
                    yield Extent(start, length), stream.read(length).ljust(length, b"\0")


Contents = Mapping[str, Content]


def wrong(ground: Ground, lifeboat: Lifeboat, contents: Contents) -> list[str]:
    """Return the parts of which the disk does not have what it should; it changes nothing.

    Of a part that waits for stage two, it is what stage one writes of it that counts; without its
    content at hand such a part is wrong.
    """
    return [name for name in CONTENTS if not _is_right(ground, lifeboat.part(name), contents[name])]


def put(ground: Ground, lifeboat: Lifeboat, contents: Contents, names: Sequence[str] | None = None) -> list[str]:
    """Write the parts that are wrong, or those of ``names``; return their names.

    Raises ``Fault`` ``lifeboat.place_taken`` before anything is written, and ``lifeboat.not_on_disk`` where
    the disk does not have what was written.
    """
    names = list(names) if names is not None else wrong(ground, lifeboat, contents)
    if not names:
        return []
    writer = _Writer(ground)
    try:
        for name in lifeboat.parts:
            writer.check(lifeboat.part(name))
        # A journal of an earlier run must not look like this run's.
        journal = lifeboat.part("journal")
        writer.write(journal, Content(b""))
        for name in names:
            writer.write(lifeboat.part(name), contents[name])
    except OSError as error:
        problem = f"writing failed: {error.strerror}"
        raise Fault(kinds.NOT_ON_DISK, part=", ".join(names), node=ground.node, problem=problem) from error
    finally:
        writer.close()
    _prove(ground, lifeboat, contents, names)
    return names


def shred(ground: Ground, lifeboat: Lifeboat) -> None:
    """Overwrite the host's own part, which holds secrets; raises as ``put`` does."""
    part = lifeboat.part("host")
    content = Content(b"")
    writer = _Writer(ground)
    try:
        writer.write(part, content, known=True)
    except OSError as error:
        problem = f"overwriting failed: {error.strerror}"
        raise Fault(kinds.NOT_ON_DISK, part="host", node=ground.node, problem=problem) from error
    finally:
        writer.close()


def _prove(ground: Ground, lifeboat: Lifeboat, contents: Contents, names: Sequence[str]) -> None:
    still = _still_wrong(ground, lifeboat, contents, names)
    if still:
        # ext4 with data=journal keeps data in its journal until it must; freezing empties that.
        settle(ground.file.parent, freeze=True)
        still = _still_wrong(ground, lifeboat, contents, names)
    if still:
        problem = "its content is not what was written"
        raise Fault(kinds.NOT_ON_DISK, part=", ".join(still), node=ground.node, problem=problem)


def _still_wrong(ground: Ground, lifeboat: Lifeboat, contents: Contents, names: Sequence[str]) -> list[str]:
    return [name for name in names if not _is_right(ground, lifeboat.part(name), contents[name])]


def _is_right(ground: Ground, part: Part, content: Content) -> bool:
    try:
        if part.sha256 and not ground.waits(part):
            return disk.digest_of(ground.node, part) == part.sha256 and _ends_in_zeros(ground.node, part)
        if not content.is_there():
            return False
        return all(_is_same(ground, place, data) for place, data in content.pieces(part.extents))
    except OSError as error:
        problem = f"reading failed: {error.strerror}"
        raise Fault(kinds.NOT_ON_DISK, part=part.name, node=ground.node, problem=problem) from error


def _ends_in_zeros(node: str, part: Part) -> bool:
    """Boot loaders load whole sectors, and what follows an archive must be zeros."""
    last = part.extents[-1]
    filling = sum(one.length for one in part.extents) - part.size
    block = b"".join(bytes(piece) for piece in disk.read_extents(node, [Extent(last.end - 4096, 4096)], 4096))
    return filling == 0 or not any(block[-min(filling, 4096) :])


def _is_same(ground: Ground, place: Extent, data: bytes) -> bool:
    for one in subtract([place], ground.swaps):
        found = b"".join(bytes(piece) for piece in disk.read_extents(ground.node, [one], one.length))
        if found != data[one.start - place.start : one.end - place.start]:
            return False
    return True


class _Writer:
    """Writes to extents by the way that each of them needs."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._file = -1
        self._pieces: list[claim.Piece] = []
        if ground.partition_start is not None and ground.file.is_file():
            self._file = os.open(ground.file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._pieces = claim.pieces(self._file, ground.partition_start)
        self._dirty = 0

    def check(self, part: Part) -> None:
        """Raise ``Fault`` ``lifeboat.place_taken`` unless all of a part lies where it may."""
        mine = [piece.extent for piece in self._pieces]
        for one in subtract(part.extents, [*mine, *self._ground.gaps, *self._ground.swaps]):
            node = self._ground.node
            raise Fault(kinds.PLACE_TAKEN, start=one.start, end=one.end, node=node, user="the old system")

    def write(self, part: Part, content: Content, known: bool = False) -> None:
        """Write a part, but not what of it lies in swap; raises ``OSError``.

        With ``known``, places that are no longer the lifeboat's are left alone.
        """
        if not known:
            self.check(part)
        for place, data in content.pieces(part.extents):
            view = memoryview(data)
            for one in intersect([place], self._ground.gaps):
                disk.write_extent(self._ground.node, one.start, view[one.start - place.start : one.end - place.start])
            for piece in self._pieces:
                for one in intersect([place], [piece.extent]):
                    offset = piece.logical + one.start - piece.extent.start
                    self._write_file(offset, view[one.start - place.start : one.end - place.start])

    def _write_file(self, offset: int, view: memoryview) -> None:
        os.lseek(self._file, offset, os.SEEK_SET)
        write_all(self._file, view)
        self._dirty += len(view)
        if self._dirty >= _DIRTY:
            self._flush()

    def _flush(self) -> None:
        os.fdatasync(self._file)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)
        self._dirty = 0

    def close(self) -> None:
        """Bring everything to the disk; raises ``OSError``."""
        if self._file < 0:
            return
        try:
            self._flush()
            os.fsync(self._file)
            sync_file_system(self._ground.file.parent)
        finally:
            os.close(self._file)
            self._file = -1
