# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Linux, GRUB and UEFI firmware make of one partition table: three rules for the same bytes.

A table that is half written looks different to each of them. Sources: Linux ``block/partitions/efi.c``
(with the parameter ``gpt``), GRUB ``grub-core/partmap/gpt.c`` and ``msdos.c``, EDK2
``MdeModulePkg/Universal/Disk/PartitionDxe/Gpt.c``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from . import mbr
from .gpt import Damaged, GptEntry, GptHeader, parse_header, unpack_entries, unpack_header

#: Reads ``count`` sectors from ``lba`` on: ``read(lba, count)``; less at the end of the disk.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Reading:
    """``kind`` is ``gpt``, ``dos`` or ``none``; partitions as ``(number, first, last, uuid or type)``."""

    kind: str
    partitions: tuple[tuple[int, int, int, str], ...] = ()


NOTHING = Reading("none")


def linux(read: Read, disk_sectors: int, sector_bytes: int) -> Reading:
    """With ``gpt`` on its kernel line: the primary, else the backup, whatever the MBR says."""
    for lba in (1, disk_sectors - 1):
        entries = _linux_copy(read, lba, disk_sectors, sector_bytes)
        if entries is not None:
            return _gpt(entries)
    return _dos(read)


def grub(read: Read, disk_sectors: int, sector_bytes: int) -> Reading:
    """On BIOS: a protective MBR, then whatever the primary header points to; no checksum, no backup."""
    record = mbr.parse(lambda lba: read(lba, 1))
    if record is None or not record.protective:
        return _dos(read)
    try:
        header = unpack_header(read(1, 1))
    except Damaged:
        return NOTHING
    return _gpt(unpack_entries(_array(read, header, disk_sectors, sector_bytes), header))


def uefi(read: Read, disk_sectors: int, sector_bytes: int) -> Reading:
    """A protective MBR, then the primary, else the backup; entries out of range or overlapping are not shown."""
    record = mbr.parse(lambda lba: read(lba, 1))
    if record is None or not any(map(_protects, record.entries)):
        return _dos(read)
    for lba in (1, disk_sectors - 1):
        found = _checked(read, lba, disk_sectors, sector_bytes)
        if found is not None:
            header, entries = found
            return _gpt(tuple(one for one in entries if _shown(one, entries, header)))
    return NOTHING


READINGS: dict[str, Callable[[Read, int, int], Reading]] = {"Linux": linux, "GRUB": grub, "UEFI": uefi}


def of_table(entries: tuple[GptEntry, ...]) -> Reading:
    """Return what each of the three must read where ``entries`` are the table."""
    return _gpt(entries)


def _linux_copy(read: Read, lba: int, disk_sectors: int, sector_bytes: int) -> tuple[GptEntry, ...] | None:
    found = _checked(read, lba, disk_sectors, sector_bytes)
    if found is None:
        return None
    header, entries = found
    ends = (header.first_usable_lba, header.last_usable_lba)
    sound = header.entry_bytes == 128 and ends[0] <= ends[1] < disk_sectors
    return entries if sound else None


def _checked(
    read: Read, lba: int, disk_sectors: int, sector_bytes: int
) -> tuple[GptHeader, tuple[GptEntry, ...]] | None:
    """Return a copy of the table whose two checksums and whose own address are right."""
    try:
        header = parse_header(read(lba, 1))
    except Damaged:
        return None
    data = _array(read, header, disk_sectors, sector_bytes)
    whole = len(data) == header.entry_count * header.entry_bytes
    if header.my_lba != lba or not whole or zlib.crc32(data) != header.entries_crc:
        return None
    return header, unpack_entries(data, header)


def _array(read: Read, header: GptHeader, disk_sectors: int, sector_bytes: int) -> bytes:
    length = header.entry_count * header.entry_bytes
    if header.entries_lba >= disk_sectors:
        return b""
    return read(header.entries_lba, -(-length // sector_bytes))[:length]


def _shown(entry: GptEntry, entries: tuple[GptEntry, ...], header: GptHeader) -> bool:
    inside = header.first_usable_lba <= entry.first_lba <= entry.last_lba <= header.last_usable_lba
    return inside and not any(
        other is not entry and entry.first_lba <= other.last_lba and other.first_lba <= entry.last_lba
        for other in entries
    )


def _protects(entry: mbr.MbrEntry) -> bool:
    return entry.type == mbr.PROTECTIVE and entry.first_lba == 1 and not entry.bootable


def _gpt(entries: tuple[GptEntry, ...]) -> Reading:
    return Reading("gpt", tuple((one.number, one.first_lba, one.last_lba, one.uuid.upper()) for one in entries))


def _dos(read: Read) -> Reading:
    record = mbr.parse(lambda lba: read(lba, 1))
    if record is None or record.protective or not record.entries:
        return NOTHING
    return Reading(
        "dos",
        tuple(
            (one.number, one.first_lba, one.first_lba + one.sectors - 1, f"{one.type:02x}") for one in record.entries
        ),
    )
