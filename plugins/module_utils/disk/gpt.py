# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GUID partition tables, read and written as bytes; UEFI specification 2.10, chapter 5.3."""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

SIGNATURE = b"EFI PART"
REVISION = 0x00010000
HEADER_BYTES = 92
ENTRY_BYTES = 128
ENTRY_COUNT = 128

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
#: Larger arrays are taken for damage, so that a bad header makes no giant read.
_MOST_ENTRIES = 4096


class Damaged(ValueError):
    """A header or an entry array is not intact; the text says what is wrong."""


@dataclass(frozen=True)
class GptEntry:
    """One partition; ``attributes`` is the 64-bit field, LBAs count logical sectors, both included."""

    number: int
    type_guid: str
    uuid: str
    first_lba: int
    last_lba: int
    attributes: int
    name: str

    @property
    def sectors(self) -> int:
        return self.last_lba - self.first_lba + 1

    @property
    def attribute_bits(self) -> tuple[int, ...]:
        return tuple(bit for bit in range(64) if self.attributes >> bit & 1)


@dataclass(frozen=True)
class GptHeader:
    my_lba: int
    alternate_lba: int
    first_usable_lba: int
    last_usable_lba: int
    disk_guid: str
    entries_lba: int
    entry_count: int
    entry_bytes: int
    entries_crc: int


@dataclass(frozen=True)
class Gpt:
    """A whole table: what both copies say."""

    disk_guid: str
    entries: tuple[GptEntry, ...]

    def entry(self, number: int) -> GptEntry | None:
        return next((one for one in self.entries if one.number == number), None)


def array_sectors(sector_bytes: int) -> int:
    """Return the sectors of an array of 128 entries: 32 of 512 bytes, 4 of 4096."""
    return ENTRY_COUNT * ENTRY_BYTES // sector_bytes


def array_places(sector_bytes: int) -> tuple[int, ...]:
    """Return the sectors at which the primary array may begin; the first two alternate.

    The others are for disks whose foreign table has an array so large that it lies on both.
    """
    count = array_sectors(sector_bytes)
    return tuple(2 + index * count for index in range(4))


def first_usable_lba(sector_bytes: int) -> int:
    """Return the first sector that a partition may have: behind both places of the primary array."""
    return 2 + 2 * array_sectors(sector_bytes)


def last_usable_lba(disk_sectors: int, sector_bytes: int) -> int:
    return disk_sectors - 2 - array_sectors(sector_bytes)


def parse_header(sector: bytes) -> GptHeader:
    """Return the header in a sector; raises ``Damaged`` when its signature or CRC is wrong."""
    if sector[:8] != SIGNATURE:
        raise Damaged("no GPT signature")
    size, crc = struct.unpack_from("<II", sector, 12)
    if not HEADER_BYTES <= size <= len(sector):
        raise Damaged(f"a header of {size} bytes")
    if zlib.crc32(sector[:16] + bytes(4) + sector[20:size]) != crc:
        raise Damaged("the checksum of the header is wrong")
    return unpack_header(sector)


def unpack_header(sector: bytes) -> GptHeader:
    """Return the header in a sector whatever its CRC, as GRUB does; raises ``Damaged`` where there is none."""
    if sector[:8] != SIGNATURE:
        raise Damaged("no GPT signature")
    fields = _HEADER.unpack_from(sector)
    header = GptHeader(
        my_lba=fields[5],
        alternate_lba=fields[6],
        first_usable_lba=fields[7],
        last_usable_lba=fields[8],
        disk_guid=_guid(fields[9]),
        entries_lba=fields[10],
        entry_count=fields[11],
        entry_bytes=fields[12],
        entries_crc=fields[13],
    )
    if header.entry_count > _MOST_ENTRIES or header.entry_bytes < ENTRY_BYTES or header.entry_bytes % 8:
        raise Damaged(f"{header.entry_count} entries of {header.entry_bytes} bytes")
    return header


def serialise_header(header: GptHeader, sector_bytes: int) -> bytes:
    """Return the sector that holds ``header``, with its CRC."""

    def pack(crc: int) -> bytes:
        return _HEADER.pack(
            SIGNATURE,
            REVISION,
            HEADER_BYTES,
            crc,
            0,
            header.my_lba,
            header.alternate_lba,
            header.first_usable_lba,
            header.last_usable_lba,
            uuid.UUID(header.disk_guid).bytes_le,
            header.entries_lba,
            header.entry_count,
            header.entry_bytes,
            header.entries_crc,
        )

    return pack(zlib.crc32(pack(0))).ljust(sector_bytes, b"\0")


def parse_entries(data: bytes, header: GptHeader) -> tuple[GptEntry, ...]:
    """Return the used entries of an array; raises ``Damaged`` when its CRC is wrong."""
    length = header.entry_count * header.entry_bytes
    if len(data) < length:
        raise Damaged("the entry array is cut short")
    if zlib.crc32(data[:length]) != header.entries_crc:
        raise Damaged("the checksum of the entry array is wrong")
    return unpack_entries(data, header)


def unpack_entries(data: bytes, header: GptHeader) -> tuple[GptEntry, ...]:
    """Return the used entries of an array whatever its CRC; what is cut off is left out."""
    entries = []
    for index in range(min(header.entry_count, len(data) // header.entry_bytes)):
        fields = _ENTRY.unpack_from(data, index * header.entry_bytes)
        if fields[0] == bytes(16):
            continue
        name = fields[5].decode("utf-16-le", "replace").split("\0", 1)[0]
        entries.append(
            GptEntry(
                number=index + 1,
                type_guid=_guid(fields[0]),
                uuid=_guid(fields[1]),
                first_lba=fields[2],
                last_lba=fields[3],
                attributes=fields[4],
                name=name,
            )
        )
    return tuple(entries)


def serialise_entries(entries: Sequence[GptEntry]) -> bytes:
    """Return an array of 128 entries."""
    data = bytearray(ENTRY_COUNT * ENTRY_BYTES)
    for entry in entries:
        _ENTRY.pack_into(
            data,
            (entry.number - 1) * ENTRY_BYTES,
            uuid.UUID(entry.type_guid).bytes_le,
            uuid.UUID(entry.uuid).bytes_le,
            entry.first_lba,
            entry.last_lba,
            entry.attributes,
            entry.name.encode("utf-16-le"),
        )
    return bytes(data)


def serialise(gpt: Gpt, disk_sectors: int, sector_bytes: int, entries_lba: int = 2) -> dict[int, bytes]:
    """Return both copies of a table as ``{lba: bytes}``, in the order in which to write them.

    The primary array lies at ``entries_lba`` (one of ``array_places``). Its header follows, alone in its
    sector, so that the table of a disk switches with that one write; the backup comes afterwards: until
    then the old backup stands beside a primary that is whole, old or new.
    """
    array = serialise_entries(gpt.entries)
    count = array_sectors(sector_bytes)
    last = disk_sectors - 1
    primary = GptHeader(
        my_lba=1,
        alternate_lba=last,
        first_usable_lba=max(first_usable_lba(sector_bytes), entries_lba + count),
        last_usable_lba=last_usable_lba(disk_sectors, sector_bytes),
        disk_guid=gpt.disk_guid,
        entries_lba=entries_lba,
        entry_count=ENTRY_COUNT,
        entry_bytes=ENTRY_BYTES,
        entries_crc=zlib.crc32(array),
    )
    backup = replace(primary, my_lba=last, alternate_lba=1, entries_lba=last - count)
    return {
        primary.entries_lba: array,
        primary.my_lba: serialise_header(primary, sector_bytes),
        backup.entries_lba: array,
        backup.my_lba: serialise_header(backup, sector_bytes),
    }


def parse_saved(data: bytes) -> tuple[Gpt, int]:
    """Return the table in a file written by ``sgdisk --backup``, and the disk's sector count.

    The file holds the MBR, the main and the backup header in 512 bytes each, then the entries
    (``GPTData::SaveGPTBackup``). Raises ``Damaged``.
    """
    header = parse_header(data[512:1024])
    entries = parse_entries(data[1536:], header)
    return Gpt(header.disk_guid, entries), header.alternate_lba + 1


def _guid(data: bytes) -> str:
    return str(uuid.UUID(bytes_le=data)).upper()
