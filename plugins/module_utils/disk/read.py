# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the partition table of a disk or image file, by own means, without any tool."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..faults import disk as kinds
from ..faults.fault import Fault
from . import mbr, sysfs
from .gpt import Damaged, Gpt, GptEntry, parse_entries, parse_header
from .mbr import Mbr


@dataclass(frozen=True)
class Table:
    """What is on a disk: ``kind`` is ``gpt``, ``dos`` or ``none``.

    ``table_id`` is the disk GUID or MBR identifier in lower case, as blkid prints it. ``problems``
    are defects of a GPT that still can be read, for example a damaged backup.
    """

    kind: str
    table_id: str
    sector_bytes: int
    size_bytes: int
    gpt: Gpt | None = None
    mbr: Mbr | None = None
    problems: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[GptEntry, ...]:
        return self.gpt.entries if self.gpt else ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of all partitions, of a GPT or an MBR, without extended containers."""
        if self.gpt:
            return tuple(entry.number for entry in self.gpt.entries)
        entries = self.mbr.entries if self.mbr and self.kind == "dos" else ()
        return tuple(entry.number for entry in entries if entry.type not in mbr.EXTENDED)


def read_disk(node: str, root: Path = sysfs.ROOT) -> Table:
    """Return the table of a block device or, in tests and for images, of a plain file.

    Raises ``disk.unreadable``.
    """
    path = root / node.lstrip("/")
    name = sysfs.kernel_name(node, root)
    size, sector = sysfs.size_bytes(name, root), sysfs.sector_bytes(name, root)
    try:
        with path.open("rb") as stream:
            if not size:
                size = stream.seek(0, os.SEEK_END)
            return read_table(stream, size, sector)
    except OSError as error:
        raise Fault(kinds.UNREADABLE, node=node, error=error.strerror or error) from error


def read_table(stream: BinaryIO, size_bytes: int, sector_bytes: int = 512) -> Table:
    """Return the table in a stream of ``size_bytes`` with logical sectors of ``sector_bytes``."""

    def read(lba: int, count: int = 1) -> bytes:
        stream.seek(lba * sector_bytes)
        return stream.read(count * sector_bytes)

    record = mbr.parse(read) if size_bytes >= sector_bytes else None
    found, problems = _read_gpt(read, size_bytes // sector_bytes)
    if found is not None and (record is None or record.protective):
        extra = () if record else ("the protective MBR is missing",)
        return Table(
            "gpt",
            found.disk_guid.lower(),
            sector_bytes,
            size_bytes,
            gpt=found,
            mbr=record,
            problems=(*problems, *extra),
        )
    if record is not None and record.entries and not record.protective:
        return Table("dos", record.disk_id, sector_bytes, size_bytes, mbr=record)
    if record is not None and record.protective:
        return Table("gpt", "", sector_bytes, size_bytes, gpt=Gpt("", ()), problems=problems)
    return Table("none", "", sector_bytes, size_bytes, mbr=record)


def _read_gpt(read: Callable[..., bytes], disk_sectors: int) -> tuple[Gpt | None, tuple[str, ...]]:
    problems: list[str] = []
    copies: list[Gpt] = []
    primary = None
    for label, lba in (("primary", 1), ("backup", disk_sectors - 1)):
        try:
            if disk_sectors < 2:
                raise Damaged("the disk has no room for a table")
            header = parse_header(read(lba))
            if header.entries_lba >= disk_sectors:
                raise Damaged("its entries lie outside of the disk")
            if header.my_lba != lba:
                raise Damaged(f"the header says that it is at sector {header.my_lba}")
            count = -(-header.entry_count * header.entry_bytes // max(len(read(lba)), 1))
            entries = parse_entries(read(header.entries_lba, count), header)
        except Damaged as error:
            problems.append(f"{label} table: {error}")
            continue
        if label == "primary":
            primary = header
            if header.alternate_lba != disk_sectors - 1:
                problems.append(f"the backup is at sector {header.alternate_lba}, not at the last of the disk")
        copies.append(Gpt(header.disk_guid, entries))
    if len(copies) == 2 and primary is not None and copies[0] != copies[1]:
        problems.append("primary and backup table differ")
    return (copies[0] if copies else None), tuple(problems)
