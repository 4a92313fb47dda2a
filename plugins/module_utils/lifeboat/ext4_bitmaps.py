# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Free space of an ext4 read from its own bitmaps, for kernels that do not tell it.

Source: Documentation/filesystems/ext4 (super block, group descriptors, bitmaps). The numbers of a
mounted file system may be seconds old; whoever wants the space must allocate it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .model import Extent

_SUPER_AT = 1024
_MAGIC = 0xEF53
_COMPAT_SPARSE_SUPER2 = 0x200
_INCOMPAT_META_BG, _INCOMPAT_EXTENTS, _INCOMPAT_64BIT = 0x10, 0x40, 0x80
_RO_SPARSE_SUPER, _RO_BIGALLOC = 0x1, 0x200
_BLOCK_UNINIT = 0x2


class NotKnown(ValueError):
    """The file system is none, or has a feature that this reader does not know."""


@dataclass(frozen=True)
class Ext4:
    """The fields of the super block that say where things are; sizes in blocks unless named bytes."""

    block_bytes: int
    blocks: int
    first_block: int
    blocks_per_group: int
    inode_table_blocks: int
    descriptor_bytes: int
    reserved_descriptors: int
    sparse: bool
    extents: bool

    @property
    def groups(self) -> int:
        return -(-(self.blocks - self.first_block) // self.blocks_per_group)

    @property
    def descriptor_blocks(self) -> int:
        return -(-self.groups * self.descriptor_bytes // self.block_bytes)


def read_super(device: Path) -> Ext4:
    """Return the super block of an ext2, ext3 or ext4; raises ``NotKnown``, ``OSError``."""
    handle = os.open(device, os.O_RDONLY)
    try:
        raw = os.pread(handle, 1024, _SUPER_AT)
    finally:
        os.close(handle)
    if len(raw) < 1024 or struct.unpack_from("<H", raw, 56)[0] != _MAGIC:
        raise NotKnown("no ext4 super block")
    compat, incompat, read_only = struct.unpack_from("<III", raw, 92)
    if incompat & _INCOMPAT_META_BG or read_only & _RO_BIGALLOC or compat & _COMPAT_SPARSE_SUPER2:
        raise NotKnown("meta_bg, bigalloc or sparse_super2")
    log_block, inodes_per_group = struct.unpack_from("<I", raw, 24)[0], struct.unpack_from("<I", raw, 40)[0]
    high = struct.unpack_from("<I", raw, 336)[0] if incompat & _INCOMPAT_64BIT else 0
    found = Ext4(
        block_bytes=1024 << min(log_block, 6),
        blocks=struct.unpack_from("<I", raw, 4)[0] | high << 32,
        first_block=struct.unpack_from("<I", raw, 20)[0],
        blocks_per_group=struct.unpack_from("<I", raw, 32)[0],
        inode_table_blocks=-(-inodes_per_group * struct.unpack_from("<H", raw, 88)[0] // (1024 << min(log_block, 6))),
        descriptor_bytes=struct.unpack_from("<H", raw, 254)[0] if incompat & _INCOMPAT_64BIT else 32,
        reserved_descriptors=struct.unpack_from("<H", raw, 206)[0],
        sparse=bool(read_only & _RO_SPARSE_SUPER),
        extents=bool(incompat & _INCOMPAT_EXTENTS),
    )
    if not 0 < found.blocks_per_group <= 8 * found.block_bytes or found.descriptor_bytes < 32:
        raise NotKnown("a super block that makes no sense")
    return found


def free_extents(device: Path) -> Iterator[Extent]:
    """Yield free extents in bytes of ``device``, in order; raises ``NotKnown``, ``OSError``."""
    system = read_super(device)
    handle = os.open(device, os.O_RDONLY)
    try:
        table = os.pread(handle, system.groups * system.descriptor_bytes, (system.first_block + 1) * system.block_bytes)
        start = length = 0
        for first, count in _runs(handle, system, table):
            if first != start + length:
                if length:
                    yield Extent(start * system.block_bytes, length * system.block_bytes)
                start, length = first, 0
            length += count
        if length:
            yield Extent(start * system.block_bytes, length * system.block_bytes)
    finally:
        os.close(handle)


def _runs(handle: int, system: Ext4, table: bytes) -> Iterator[tuple[int, int]]:
    """Yield runs of free blocks, group by group."""
    for group in range(system.groups):
        base = system.first_block + group * system.blocks_per_group
        count = min(system.blocks_per_group, system.blocks - base)
        raw = table[group * system.descriptor_bytes : (group + 1) * system.descriptor_bytes]
        if len(raw) < 32:
            raise NotKnown("group descriptors end early")
        flags = struct.unpack_from("<H", raw, 18)[0]
        places = _places(system, raw)
        if flags & _BLOCK_UNINIT:
            bits = _uninitialised(system, group, base, count, places)
        else:
            bits = os.pread(handle, system.block_bytes, places[0] * system.block_bytes)
        yield from ((base + first, length) for first, length in zero_runs(bits, count))


def _places(system: Ext4, raw: bytes) -> tuple[int, int, int]:
    """Return the blocks of the block bitmap, the inode bitmap and the inode table of a group."""
    low = struct.unpack_from("<III", raw, 0)
    high = struct.unpack_from("<III", raw, 32) if system.descriptor_bytes >= 64 else (0, 0, 0)
    return low[0] | high[0] << 32, low[1] | high[1] << 32, low[2] | high[2] << 32


def _uninitialised(system: Ext4, group: int, base: int, count: int, places: tuple[int, int, int]) -> bytes:
    """Return the bitmap that the kernel would make (ext4_init_block_bitmap): the group's own metadata."""
    used = bytearray(-(-count // 8))
    taken = [(places[0], 1), (places[1], 1), (places[2], system.inode_table_blocks)]
    if _has_super(system, group):
        taken.append((base, 1 + system.descriptor_blocks + system.reserved_descriptors))
    for first, length in taken:
        for block in range(max(first, base), min(first + length, base + count)):
            used[(block - base) >> 3] |= 1 << ((block - base) & 7)
    return bytes(used)


def _has_super(system: Ext4, group: int) -> bool:
    if not system.sparse or group <= 1:
        return True
    for base in (3, 5, 7):
        power = base
        while power < group:
            power *= base
        if power == group:
            return True
    return False


def zero_runs(bits: bytes, count: int) -> Iterator[tuple[int, int]]:
    """Yield ``(first, length)`` of the runs of zero bits among the first ``count``, lowest bit first."""
    # As one text of 0 and 1, lowest bit first, runs are found by the library instead of bit by bit.
    text = format(int.from_bytes(bits, "little"), f"0{8 * len(bits)}b")[::-1][:count]
    position = text.find("0")
    while position >= 0:
        end = text.find("1", position)
        end = len(text) if end < 0 else end
        yield position, end - position
        position = text.find("0", end)
