# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Master boot records: the four primary entries and the chain of logical partitions."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

SECTOR_BYTES = 512
SIGNATURE = b"\x55\xaa"
PROTECTIVE = 0xEE
EXTENDED = (0x05, 0x0F, 0x85)

_ENTRY = struct.Struct("<B3sB3sII")
_FIRST_ENTRY = 446
#: Boot code ends here; the disk identifier follows.
CODE_BYTES = 440
#: A chain longer than this is a loop.
_MOST_LOGICAL = 128

#: Reads one sector by its LBA.
ReadSector = Callable[[int], bytes]


@dataclass(frozen=True)
class MbrEntry:
    """``number`` is 1 to 4 for primary partitions, from 5 for logical ones, as Linux counts them."""

    number: int
    type: int
    first_lba: int
    sectors: int
    bootable: bool


@dataclass(frozen=True)
class Mbr:
    """``disk_id`` is the 32-bit disk identifier as eight hexadecimal digits, as blkid prints it."""

    disk_id: str
    entries: tuple[MbrEntry, ...]

    @property
    def protective(self) -> bool:
        return any(entry.type == PROTECTIVE for entry in self.entries)


def parse(read: ReadSector) -> Mbr | None:
    """Return the table of a disk, or None where its first sector is not an MBR."""
    sector = read(0)
    if sector[510:512] != SIGNATURE:
        return None
    primary = _entries(sector)
    # The boot sector of a FAT or NTFS file system has the same signature; its bytes there are code.
    if any(flag not in (0x00, 0x80) for flag, _type, _first, _count in primary):
        return None
    entries = [
        MbrEntry(index + 1, kind, first, count, flag == 0x80)
        for index, (flag, kind, first, count) in enumerate(primary)
        if kind and count
    ]
    for entry in list(entries):
        if entry.type in EXTENDED:
            entries += _logical(read, entry.first_lba, 5 + sum(one.number > 4 for one in entries))
    return Mbr(f"{struct.unpack_from('<I', sector, CODE_BYTES)[0]:08x}", tuple(entries))


def protective(disk_sectors: int, boot_code: bytes = b"") -> bytes:
    """Return the first 512 bytes of a GPT disk; ``boot_code`` are up to 440 bytes to keep."""
    sector = bytearray(SECTOR_BYTES)
    sector[: len(boot_code[:CODE_BYTES])] = boot_code[:CODE_BYTES]
    count = min(disk_sectors - 1, 0xFFFFFFFF)
    _ENTRY.pack_into(sector, _FIRST_ENTRY, 0, b"\x00\x02\x00", PROTECTIVE, b"\xff\xff\xff", 1, count)
    sector[510:512] = SIGNATURE
    return bytes(sector)


def _entries(sector: bytes) -> list[tuple[int, int, int, int]]:
    found = []
    for index in range(4):
        flag, _start, kind, _end, first, count = _ENTRY.unpack_from(sector, _FIRST_ENTRY + index * 16)
        found.append((flag, kind, first, count))
    return found


def _logical(read: ReadSector, base: int, number: int) -> list[MbrEntry]:
    """Follow the chain of extended boot records; each names one partition and the next record."""
    found: list[MbrEntry] = []
    position, seen = base, set()
    while position not in seen and len(found) < _MOST_LOGICAL:
        seen.add(position)
        sector = read(position)
        if sector[510:512] != SIGNATURE:
            break
        entries = _entries(sector)
        flag, kind, first, count = entries[0]
        if kind and count:
            found.append(MbrEntry(number + len(found), kind, position + first, count, flag == 0x80))
        _flag, kind, offset, _count = entries[1]
        if kind not in EXTENDED:
            break
        position = base + offset
    return found
