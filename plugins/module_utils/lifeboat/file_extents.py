# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the blocks of a file lie, and how blocks are given to it and taken from it again.

Sources: Documentation/filesystems/fiemap.rst, include/uapi/linux/fiemap.h, fallocate(2). All of it is
there in Linux 3.10 (CentOS 7).
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass

from ..faults import lifeboat as kinds
from ..faults.fault import Fault

_FS_IOC_FIEMAP = 0xC020660B
_FIEMAP_FLAG_SYNC = 0x1
_HEADER = struct.Struct("=QQIIII")
_EXTENT = struct.Struct("=QQQQQIIII")
_BATCH = 256

_LAST = 0x1
#: Flags that say that the bytes are not, or not alone, or not yet, at the place that is told.
_REFUSED = {
    0x2: "its place is unknown",
    0x4: "it has no place yet (delayed allocation)",
    0x8: "it is encoded (compressed or encrypted)",
    0x80: "it is encrypted",
    0x100: "it is not aligned to blocks",
    0x200: "it lies inside metadata",
    0x400: "it shares a block with other files",
    0x2000: "it is shared with another file (reflink)",
}

_FALLOC_FL_KEEP_SIZE = 0x1
_FALLOC_FL_PUNCH_HOLE = 0x2


@dataclass(frozen=True)
class Mapped:
    """One run of blocks: offset in the file, offset on the file system's device, length; in bytes."""

    logical: int
    physical: int
    length: int


def read_map(handle: int, start: int = 0) -> list[Mapped]:
    """Return the blocks of an open file from offset ``start`` on, those not written yet included.

    What is dirty is written first. Raises ``Fault`` ``lifeboat.file_system`` where the file system cannot
    tell, or where one of the extents is not simply at its place.
    """
    found: list[Mapped] = []
    while True:
        batch, last = _read_batch(handle, start)
        for logical, physical, length, flags in batch:
            for bit, meaning in _REFUSED.items():
                if flags & bit:
                    raise Fault(kinds.FILE_SYSTEM, problem=f"An extent cannot be used: {meaning}.")
            found.append(Mapped(logical, physical, length))
        if last or not batch:
            return found
        start = found[-1].logical + found[-1].length


def _read_batch(handle: int, start: int) -> tuple[list[tuple[int, int, int, int]], bool]:
    request = bytearray(_HEADER.size + _BATCH * _EXTENT.size)
    _HEADER.pack_into(request, 0, start, 2**64 - 1 - start, _FIEMAP_FLAG_SYNC, 0, _BATCH, 0)
    try:
        fcntl.ioctl(handle, _FS_IOC_FIEMAP, request, True)
    except OSError as error:
        raise Fault(kinds.FILE_SYSTEM, problem=f"It does not tell where a file lies: {error.strerror}.") from error
    count = _HEADER.unpack_from(request)[3]
    batch = []
    last = False
    for index in range(count):
        values = _EXTENT.unpack_from(request, _HEADER.size + index * _EXTENT.size)
        logical, physical, length, flags = values[0], values[1], values[2], values[5]
        batch.append((logical, physical, length, flags))
        last = last or bool(flags & _LAST)
    return batch, last


def allocate(handle: int, start: int, length: int) -> None:
    """Give blocks to ``[start, start + length)`` of a file; raises ``OSError`` (ENOSPC, EOPNOTSUPP).

    Not ``os.posix_fallocate``: where the file system cannot, the C library writes zeros instead, block by block.
    """
    _fallocate(handle, 0, start, length)


def punch(handle: int, start: int, length: int) -> None:
    """Give the blocks of ``[start, start + length)`` back to the file system; raises ``OSError``."""
    _fallocate(handle, _FALLOC_FL_PUNCH_HOLE | _FALLOC_FL_KEEP_SIZE, start, length)


def _fallocate(handle: int, mode: int, start: int, length: int) -> None:
    try:
        import ctypes
    except ImportError as error:
        problem = f"This Python cannot ask for room: it has no module {error.name}."
        raise Fault(kinds.FILE_SYSTEM, problem=problem) from error
    library = ctypes.CDLL(None, use_errno=True)
    # The variant with offsets of 64 bits whatever the C library's own choice is (glibc: fallocate64).
    function = getattr(library, "fallocate64", None) or library.fallocate
    function.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    if function(handle, mode, start, length) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
