# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logs of QEMU's ``blklogwrites``: every write, flush and discard of a disk in its order.

Format: QEMU's block/blklogwrites.c, the same as the kernel's dm-log-writes
(Documentation/admin-guide/device-mapper/log-writes.rst).
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD = 1, 2, 4
#: All there are; the others mark an entry by name, and metadata.
_FLAGS = 31


@dataclass(frozen=True)
class Entry:
    """``kind`` is ``write``, ``flush`` or ``discard``; ``offset`` and ``length`` in bytes of the disk.

    ``position`` is where the data of a write lies in the log. A write that is ``durable`` is on the
    medium when it ends (FUA), others when the next flush ends.
    """

    kind: str
    offset: int
    length: int
    position: int
    durable: bool


class TornLog(ValueError):
    """The log is not one entry behind the other.

    QEMU leaves a gap where a write has more pieces than one pwritev(2) takes, and before version 8.2 it mixes up its
    log at "write zeroes" beside other writes.
    """


class WriteLog:
    """The entries of a log file; the data is read when it is wanted. Raises ``ValueError``, ``TornLog``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY)
        self.entries = tuple(self._read())

    def close(self) -> None:
        os.close(self._handle)

    def data(self, entry: Entry) -> bytes:
        return os.pread(self._handle, entry.length, entry.position)

    def digest(self) -> str:
        """Return what names this recording: the same writes in the same order."""
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(f"{entry.kind} {entry.offset} {entry.length}\n".encode())
            if entry.kind == "write" and entry.length <= 65536:
                digest.update(self.data(entry))
        return digest.hexdigest()[:16]

    def _read(self) -> list[Entry]:
        magic, _version, count, size = struct.unpack("<QQQI", os.pread(self._handle, 28, 0))
        if magic != _MAGIC:
            raise ValueError(f"{self.path} is no log of writes")
        found, position = [], size
        for _number in range(count):
            head = os.pread(self._handle, 32, position)
            if len(head) < 32:
                raise TornLog(f"{self.path}: its {count} entries go beyond its end")
            sector, sectors, flags, _length = struct.unpack("<QQQQ", head)
            if flags & ~_FLAGS or not (sectors or flags):
                raise TornLog(f"{self.path}: there is no entry at byte {position}, after {len(found)}")
            position += size
            length = sectors * size
            if flags & _DISCARD:
                found.append(Entry("discard", sector * size, length, 0, False))
                continue
            if length:
                # A write may carry a flush that comes before it.
                if flags & _FLUSH:
                    found.append(Entry("flush", 0, 0, 0, False))
                found.append(Entry("write", sector * size, length, position, bool(flags & _FUA)))
            elif flags & _FLUSH:
                found.append(Entry("flush", 0, 0, 0, False))
            position += length
        if position > os.fstat(self._handle).st_size:
            raise TornLog(f"{self.path}: its {count} entries go beyond its end")
        return found


def entries_so_far(path: Path) -> int:
    """Return how many entries a log has that is being written."""
    try:
        with path.open("rb") as file:
            head = file.read(28)
    except FileNotFoundError:
        return 0
    return struct.unpack("<QQQI", head)[2] if len(head) == 28 else 0


def last_flush(entries: Sequence[Entry], upto: int) -> int:
    """Return the index after the last flush before ``upto``: all writes before it are on the medium."""
    for index in range(upto - 1, -1, -1):
        if entries[index].kind == "flush":
            return index + 1
    return 0
