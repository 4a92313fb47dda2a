# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Switches the partition table of a disk by one sector write.

The new entries go where the present header does not point; then one write of the header, alone in its
sector, makes them the table. The backup follows, and last, where it is missing, the protective MBR. Every
write is on the disk before the next begins, so that a cut at any moment leaves the old table or the new
one to Linux, GRUB and UEFI firmware; a second run completes it. UEFI specification 2.10, 5.3.2, asks for
the primary's header to be the last of its writes, for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faults import disk as kinds
from ..faults.fault import Fault
from . import gpt, mbr, raw, readings
from .gpt import Damaged, Gpt, GptEntry
from .readings import Read


@dataclass(frozen=True)
class Write:
    """One write of whole sectors, which must be on the disk before the next one begins."""

    lba: int
    data: bytes
    what: str


def require_room(node: str, entries: Sequence[GptEntry], disk_sectors: int, sector_bytes: int) -> None:
    """Raise ``Fault`` ``disk.no_array_room`` where a partition lies on a place of the table itself."""
    first = gpt.first_usable_lba(sector_bytes)
    last = gpt.last_usable_lba(disk_sectors, sector_bytes)
    for entry in entries:
        if entry.first_lba < first or entry.last_lba > last:
            raise Fault(
                kinds.NO_ARRAY_ROOM,
                node=node,
                number=entry.number,
                found=f"{entry.first_lba}-{entry.last_lba}",
                usable=f"{first}-{last}",
            )


def writes(
    node: str, read: Read, wanted: Gpt, disk_sectors: int, sector_bytes: int, *, replace_record: bool
) -> tuple[Write, ...]:
    """Return the writes of a switch, in their order.

    ``wanted`` is the whole table. With ``replace_record`` the MBR becomes purely protective; without, one
    that is protective stays as it is. Raises ``disk.no_array_room``.
    """
    require_room(node, wanted.entries, disk_sectors, sector_bytes)
    place = _free_place(node, read, wanted, sector_bytes)
    array, header, backup_array, backup_header = gpt.serialise(wanted, disk_sectors, sector_bytes, place).items()
    planned = [
        Write(*array, "new entries"),
        Write(*header, "header"),
        Write(*backup_array, "backup entries"),
        Write(*backup_header, "backup header"),
    ]
    present = read(0, 1)
    record = _record(present, disk_sectors, replace_record)
    if record != present:
        planned.append(Write(0, record, "protective MBR"))
    return tuple(planned)


def perform(path: Path, planned: Sequence[Write], sector_bytes: int) -> None:
    """Make the writes, each on the disk before the next; raises ``disk.unwritable``."""
    try:
        # One descriptor for all: udev reads a disk anew each time that a writer closes it.
        with raw.opened(path, write=True) as handle:
            for one in planned:
                raw.write_at(handle, one.lba * sector_bytes, one.data)
    except OSError as error:
        raise Fault(kinds.UNWRITABLE, node=path, error=error.strerror or error) from error


def read_back(path: Path, wanted: Gpt, disk_sectors: int, sector_bytes: int) -> list[str]:
    """Return what of the disk, read as Linux, GRUB and UEFI do, is not the table ``wanted``; raises ``OSError``."""
    meant = readings.of_table(wanted.entries)
    problems = []
    with raw.opened(path) as handle:

        def read(lba: int, count: int) -> bytes:
            return raw.read_at(handle, lba * sector_bytes, count * sector_bytes)

        for name, rule in readings.READINGS.items():
            found = rule(read, disk_sectors, sector_bytes)
            if found != meant:
                shown = ", ".join(f"{one[0]} at {one[1]}-{one[2]}" for one in found.partitions) or "no partitions"
                problems.append(f"{name} finds {found.kind} with {shown}")
    return problems


def _free_place(node: str, read: Read, wanted: Gpt, sector_bytes: int) -> int:
    """Return where the new primary array goes: not where the present header points, not on a partition."""
    busy = [(entry.first_lba, entry.last_lba) for entry in wanted.entries]
    try:
        # GRUB follows a header whatever its checksum, so a damaged one counts as well.
        header = gpt.unpack_header(read(1, 1))
        length = header.entry_count * header.entry_bytes
        busy.append((header.entries_lba, header.entries_lba - 1 + -(-length // sector_bytes)))
    except Damaged:
        pass
    count = gpt.array_sectors(sector_bytes)
    for place in gpt.array_places(sector_bytes):
        if not any(place <= last and first <= place + count - 1 for first, last in busy):
            return place
    first, last = busy[-1]
    usable = f"{gpt.first_usable_lba(sector_bytes)} and on"
    raise Fault(kinds.NO_ARRAY_ROOM, node=node, number="table", found=f"{first}-{last}", usable=usable)


def _record(present: bytes, disk_sectors: int, replace_record: bool) -> bytes:
    """Return LBA 0 with a protective MBR; the boot code in its first 440 bytes stays."""
    record = mbr.parse(lambda _lba: present) if len(present) >= mbr.SECTOR_BYTES else None
    if record is not None and record.protective:
        only = len(record.entries) == 1 and record.entries[0].first_lba == 1 and not record.entries[0].bootable
        if only or not replace_record:
            return present
    return mbr.protective(disk_sectors, present[: mbr.CODE_BYTES]).ljust(len(present), b"\0")
