# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old disk, as the evidence has it: which sectors are put back, and which file system is made again.

LBA 0 is the last piece: it holds boot code and table (of a GPT: the protective entry) at once, and whoever reads
the disk sees the old one from that write on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..faults import revive as kinds
from ..faults.fault import FaultKind
from ..snapshot.evidence import START_BYTES
from . import superblock
from .superblock import Superblock

SECTOR = 512
#: The backup of a GPT of 128 entries: header and table (UEFI specification 5.3), in sectors.
BACKUP_SECTORS = 33
_FILE_SYSTEMS = ("ext2", "ext3", "ext4")
#: The header of a swap area takes its first page (mkswap(8)); it has UUID and label.
_SWAP_BYTES = 4096
#: What stands before the superblock: boot code of a loader that was installed into the partition.
_BOOT_BLOCK = superblock.OFFSET
_BIOS_BOOT = "21686148-6449-6e6f-744e-656564454649"
_EXTENDED = ("0x5", "0xf", "0x85", "5", "f", "85", "05", "0f", "0x05", "0x0f")


@dataclass(frozen=True)
class Piece:
    """Whole sectors that are put back: ``length`` bytes at ``skip`` of a file of the evidence, to byte ``start``."""

    file: str
    skip: int
    start: int
    length: int
    sha256: str

    def to_document(self) -> dict[str, Any]:
        return vars(self).copy()


@dataclass(frozen=True)
class Problem:
    """A finding in the making."""

    kind: FaultKind
    particulars: Mapping[str, Any]


@dataclass(frozen=True)
class OldDisk:
    """``root_start`` and ``root_bytes`` are the partition of the old root; ``made`` is how its file system was."""

    problems: tuple[Problem, ...]
    pieces: tuple[Piece, ...] = ()
    root_start: int = 0
    root_bytes: int = 0
    made: Superblock | None = None
    #: Where the table of the converted disk would be found again, as [start, length] in bytes.
    cleared: tuple[tuple[int, int], ...] = ()

    def to_plan(self, blocks: int = 0) -> dict[str, Any]:
        """Return what the plan has of it, with so many ``blocks`` at first; only without problems."""
        if self.made is None:
            raise ValueError("an old root that cannot be made again")
        first = superblock.shrunk(self.made, blocks or self.made.blocks)
        return {
            "root": {
                "start": self.root_start,
                "length": self.root_bytes,
                "uuid": self.made.uuid,
                "label": self.made.label,
                "options": first.options(),
                "blocks": first.blocks,
                "grown": self.made.blocks,
                "block_bytes": self.made.block_bytes,
            },
            "cleared": [list(extent) for extent in self.cleared],
            "pieces": [piece.to_document() for piece in self.pieces],
        }


def read(disk: Mapping[str, Any], contents: Mapping[str, bytes]) -> OldDisk:
    """Read the evidence: ``disk`` is its ``disk.json``, ``contents`` are its files."""
    problems = list(_of_table(disk))
    roots = [part for part in disk["partitions"] if "/" in part.get("mounts", [])]
    made = None
    if len(roots) != 1:
        problems.append(Problem(kinds.NOT_PLAIN, {"problem": "no partition of the disk was mounted as /"}))
    else:
        made = superblock.read(contents.get(_head(roots[0]), b""))
        problems += _of_root(roots[0], made)
    for part in disk["partitions"]:
        if part not in roots:
            problems += _of_other(part, contents)
    if problems or made is None:
        return OldDisk(tuple(problems))
    root = roots[0]
    return OldDisk(
        (),
        tuple(_pieces(disk, contents, root)),
        root["start_lba"] * SECTOR,
        root["sectors"] * SECTOR,
        made,
        _cleared(disk),
    )


def _of_table(disk: Mapping[str, Any]) -> Iterator[Problem]:
    if int(disk.get("logical_sector_bytes") or SECTOR) != SECTOR:
        yield Problem(kinds.NOT_PLAIN, {"problem": "the sectors of the disk are not of 512 bytes"})
    if disk.get("table") not in ("dos", "gpt"):
        yield Problem(kinds.NOT_PLAIN, {"problem": f"the partition table was {disk.get('table')}"})


def _of_root(part: Mapping[str, Any], made: Superblock | None) -> Iterator[Problem]:
    kind = part.get("fstype") or "unknown"
    if kind not in _FILE_SYSTEMS or part.get("holders"):
        yield Problem(kinds.NOT_PLAIN, {"problem": f"it was {kind} on partition {part['number']}"})
    elif made is None:
        yield Problem(kinds.NOT_PLAIN, {"problem": f"{_head(part)} holds no superblock"})
    elif made.uuid != str(part.get("fs_uuid")).lower():
        yield Problem(kinds.NOT_PLAIN, {"problem": f"{_head(part)} is of file system {made.uuid}"})
    elif made.bytes > part["sectors"] * SECTOR:
        yield Problem(kinds.NOT_PLAIN, {"problem": "its file system was larger than its partition"})
    elif made.unknown:
        yield Problem(kinds.FEATURES, {"features": ", ".join(made.unknown)})


def _of_other(part: Mapping[str, Any], contents: Mapping[str, bytes]) -> Iterator[Problem]:
    """Tell of a partition beside the root whose content would not come back."""
    kind = str(part.get("fstype") or "")
    type_name = str(part.get("type") or "").lower()
    end = (part["start_lba"] + part["sectors"]) * SECTOR
    content = ""
    if kind == "swap":
        if not _is_swap(contents.get(_head(part), b"")):
            content = "swap that holds something else"
    elif type_name == _BIOS_BOOT:
        content = "" if end <= START_BYTES else "the core image of GRUB"
    elif type_name in _EXTENDED or part["number"] > 4 and "-" not in type_name:
        content = "logical partitions"
    elif kind or part.get("mounts") or part.get("holders"):
        content = " ".join(filter(None, (kind, *map(str, part.get("mounts", [])))))
    if content:
        yield Problem(kinds.NOT_SAVED, {"number": part["number"], "content": content})


def _cleared(disk: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Return where the backup of the converted table lies, unless the old one puts its own there.

    It would outlive an MBR at the end of the disk, and a kernel that is told ``gpt`` would believe it.
    """
    if disk["table"] == "gpt":
        return ()
    backup = BACKUP_SECTORS * SECTOR
    return ((int(disk["size_bytes"]) - backup, backup),)


def _is_swap(head: bytes) -> bool:
    return head[_SWAP_BYTES - 10 : _SWAP_BYTES] == b"SWAPSPACE2"


def _pieces(disk: Mapping[str, Any], contents: Mapping[str, bytes], root: Mapping[str, Any]) -> Iterator[Piece]:
    """Return what is put back, LBA 0 last."""
    yield _piece(contents, _head(root), 0, root["start_lba"] * SECTOR, _BOOT_BLOCK)
    for part in disk["partitions"]:
        if part.get("fstype") == "swap":
            yield _piece(contents, _head(part), 0, part["start_lba"] * SECTOR, _SWAP_BYTES)
    size, end = int(disk["size_bytes"]), len(contents["end.bin"])
    if disk["table"] == "gpt":
        backup = BACKUP_SECTORS * SECTOR
        yield _piece(contents, "end.bin", end - backup, size - backup, backup)
    inside = [part for part in disk["partitions"] if str(part.get("type") or "").lower() != _BIOS_BOOT]
    free = min([START_BYTES, *(part["start_lba"] * SECTOR for part in inside)])
    yield _piece(contents, "start.bin", SECTOR, SECTOR, free - SECTOR)
    yield _piece(contents, "start.bin", 0, 0, SECTOR)


def _piece(contents: Mapping[str, bytes], file: str, skip: int, start: int, length: int) -> Piece:
    content = contents[file][skip : skip + length]
    return Piece(file, skip, start, length, hashlib.sha256(content).hexdigest())


def _head(part: Mapping[str, Any]) -> str:
    return f"partition-{part['number']}.bin"
