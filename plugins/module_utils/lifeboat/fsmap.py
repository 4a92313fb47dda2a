# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Free space of a mounted ext4 or XFS as the kernel tells it: FS_IOC_GETFSMAP (ioctl_getfsmap(2)).

Linux 4.12 and later. The answer is a snapshot; whoever wants the space must allocate it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from .model import Extent

#: struct fsmap: device, flags, physical, owner, offset, length, three reserved words.
_RECORD = struct.Struct("<IIQQQQ24x")
#: struct fsmap_head: flags in and out, count, entries, six reserved words; then the lowest and highest key.
_HEAD = struct.Struct("<IIII48x")
_HEAD_BYTES = _HEAD.size + 2 * _RECORD.size
_AT_ONCE = 4096
#: _IOWR('X', 59, struct fsmap_head).
_REQUEST = 3 << 30 | _HEAD_BYTES << 16 | ord("X") << 8 | 59
_SPECIAL_OWNER, _LAST = 0x10, 0x20
#: FMR_OWN_FREE: FMR_OWNER(0, 1).
_FREE = 1
_MOST = (1 << 64) - 1


def free_extents(mount: Path) -> Iterator[Extent]:
    """Yield free extents in bytes of the file system's own device, in order.

    Raises ``OSError`` where the kernel or the file system does not know the call.
    """
    handle = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        device = _device(os.fstat(handle).st_dev)
        low = _RECORD.pack(0, 0, 0, 0, 0, 0)
        while True:
            records = _ask(handle, low)
            for found, flags, physical, owner, _offset, length in records:
                if found == device and flags & _SPECIAL_OWNER and owner == _FREE:
                    yield Extent(physical, length)
            if not records or records[-1][1] & _LAST:
                return
            # The last record is the lowest key of the next call; the kernel goes on behind it.
            low = _RECORD.pack(*records[-1])
    finally:
        os.close(handle)


def _ask(handle: int, low: bytes) -> list[tuple[int, ...]]:
    high = _RECORD.pack(0xFFFFFFFF, 0xFFFFFFFF, _MOST, _MOST, _MOST, 0)
    buffer = bytearray(_HEAD.pack(0, 0, _AT_ONCE, 0) + low + high)
    buffer += bytes(_AT_ONCE * _RECORD.size)
    fcntl.ioctl(handle, _REQUEST, buffer)
    entries = _HEAD.unpack_from(buffer)[3]
    return [_RECORD.unpack_from(buffer, _HEAD_BYTES + index * _RECORD.size) for index in range(entries)]


def _device(number: int) -> int:
    """Return a device number as the kernel encodes it for user space in 32 bits (new_encode_dev)."""
    major, minor = os.major(number), os.minor(number)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
