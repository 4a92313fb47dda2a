# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The head of an ext2, ext3 or ext4 file system, and the command that makes one like it.

The features are those of the old file system and not those that a newer e2fsprogs would choose: its GRUB and its
e2fsck must read it. Offsets are those of Documentation/filesystems/ext4/super.rst (Linux).
"""

from __future__ import annotations

import struct
import uuid as uuids
from dataclasses import dataclass, replace

#: Where the superblock begins in the partition, and how much of it is read.
OFFSET = 1024
_LENGTH = 1024
_MAGIC = 0xEF53
#: Bits and their names for ``mkfs.ext4 -O`` (mke2fs(8), ext4(5)), in the order of the three fields.
_COMPATIBLE = {
    0x4: "has_journal",
    0x8: "ext_attr",
    0x10: "resize_inode",
    0x20: "dir_index",
    0x200: "sparse_super2",
    0x1000: "orphan_file",
}
_INCOMPATIBLE = {
    0x2: "filetype",
    0x10: "meta_bg",
    0x40: "extent",
    0x80: "64bit",
    0x200: "flex_bg",
    0x400: "ea_inode",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
}
_READ_ONLY_COMPATIBLE = {
    0x1: "sparse_super",
    0x2: "large_file",
    0x8: "huge_file",
    0x10: "uninit_bg",
    0x20: "dir_nlink",
    0x40: "extra_isize",
    0x400: "metadata_csum",
}
#: States of a mounted file system and not features: needs_recovery, orphan_present.
_STATES = (0, 0x4, 0x10000)


@dataclass(frozen=True)
class Superblock:
    """What is needed to make the file system again; ``unknown`` are features that cannot be made."""

    uuid: str
    label: str
    block_bytes: int
    blocks: int
    reserved: int
    inodes: int
    inode_bytes: int
    features: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return self.block_bytes * self.blocks

    def options(self) -> list[str]:
        """Return the options of ``mkfs.ext4`` that make it again; device and number of blocks follow them."""
        share = 100.0 * self.reserved / self.blocks
        argv = ["-b", str(self.block_bytes), "-I", str(self.inode_bytes), "-N", str(self.inodes), "-m", f"{share:.4f}"]
        argv += ["-O", ",".join(("none", *self.features)), "-U", self.uuid]
        return argv + (["-L", self.label] if self.label else [])


def read(head: bytes) -> Superblock | None:
    """Read the first bytes of a partition; ``None`` where they hold no such file system."""
    block = head[OFFSET : OFFSET + _LENGTH]
    if len(block) < _LENGTH or _number(block, "<H", 0x38) != _MAGIC:
        return None
    fields = [_number(block, "<I", at) for at in (0x5C, 0x60, 0x64)]
    features: list[str] = []
    unknown: list[str] = []
    for name, value, known, state in zip(
        ("compat", "incompat", "ro_compat"), fields, (_COMPATIBLE, _INCOMPATIBLE, _READ_ONLY_COMPATIBLE), _STATES
    ):
        for bit in (1 << number for number in range(32) if value >> number & 1 and 1 << number != state):
            if bit in known:
                features.append(known[bit])
            else:
                unknown.append(f"{name} 0x{bit:x}")
    wide = bool(fields[1] & 0x80)
    blocks, reserved = _number(block, "<I", 0x4), _number(block, "<I", 0x8)
    size = 1024 << min(_number(block, "<I", 0x18), 6)
    # Revision 0 knows no other inodes (super.rst, s_inode_size).
    inode_bytes = _number(block, "<H", 0x58) if _number(block, "<I", 0x4C) else 128
    if not blocks:
        return None
    return Superblock(
        uuid=str(uuids.UUID(bytes=block[0x68:0x78])),
        label=block[0x78:0x88].split(b"\0")[0].decode("utf-8", "replace"),
        block_bytes=size,
        blocks=blocks + ((_number(block, "<I", 0x150) << 32) if wide else 0),
        reserved=reserved + ((_number(block, "<I", 0x154) << 32) if wide else 0),
        inodes=_number(block, "<I", 0x0),
        inode_bytes=inode_bytes,
        features=tuple(features),
        unknown=tuple(unknown),
    )


def shrunk(made: Superblock, blocks: int) -> Superblock:
    """Return the file system with fewer blocks and as many inodes in each group, so that growing gives the old one."""
    if blocks >= made.blocks:
        return made
    per_group = 8 * made.block_bytes
    groups, fewer = -(-made.blocks // per_group), -(-blocks // per_group)
    return replace(
        made,
        blocks=blocks,
        inodes=made.inodes // groups * fewer,
        reserved=made.reserved * blocks // made.blocks,
    )


def _number(block: bytes, kind: str, at: int) -> int:
    return int(struct.unpack_from(kind, block, at)[0])
