# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The evidence of a small host with one ext4 root on an MBR disk, as the phase snapshot leaves it."""

from __future__ import annotations

import json
import struct
import uuid
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.snapshot import evidence

UUID = "803056aa-8e06-4742-a01d-e8355ddd01f3"
MIB = 1 << 20
DISK_BYTES = 64 * MIB
#: Those of mke2fs 1.46 for Debian 11, with the journal to be replayed, as while it is mounted.
COMPAT, INCOMPAT, RO_COMPAT = 0x3C, 0x2C2 | 0x4, 0x46B


def superblock(
    *,
    fs_uuid: str = UUID,
    label: str = "old",
    blocks: int = 15 * 256,
    fields: tuple[int, int, int] = (COMPAT, INCOMPAT, RO_COMPAT),
) -> bytes:
    """Return the first 8192 bytes of a partition."""
    block = bytearray(1024)
    for kind, at, value in (
        ("<I", 0x0, 4096),
        ("<I", 0x4, blocks),
        ("<I", 0x8, blocks // 20),
        ("<I", 0x18, 2),
        ("<H", 0x38, 0xEF53),
        ("<I", 0x4C, 1),
        ("<H", 0x58, 256),
        ("<I", 0x5C, fields[0]),
        ("<I", 0x60, fields[1]),
        ("<I", 0x64, fields[2]),
    ):
        struct.pack_into(kind, block, at, value)
    block[0x68:0x78] = uuid.UUID(fs_uuid).bytes
    block[0x78 : 0x78 + len(label)] = label.encode()
    return (b"boot" * 256 + bytes(block)).ljust(8192, b"\0")


def swap() -> bytes:
    return (bytes(4086) + b"SWAPSPACE2").ljust(8192, b"s")


def partition(**changes: Any) -> dict[str, Any]:
    return {
        "number": 1,
        "start_lba": 2048,
        "sectors": 15 * 2048,
        "type": "0x83",
        "uuid": "",
        "fstype": "ext4",
        "fs_uuid": UUID,
        "holders": [],
        "mounts": ["/"],
        **changes,
    }


def disk(*partitions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": "/dev/vda",
        "serial": "LAB0815-0",
        "wwn": "",
        "size_bytes": DISK_BYTES,
        "logical_sector_bytes": 512,
        "table": "dos",
        "table_id": "0aeb187f",
        "partitions": list(partitions) or [partition()],
        **changes,
    }


def contents(described: dict[str, Any], **heads: bytes) -> dict[str, bytes]:
    """Return the files of the evidence; ``heads`` are ``p1=...`` for partitions, the first one the root's."""
    start = b"".join(struct.pack("<Q", sector) * 64 for sector in range(2048))
    end = b"".join(struct.pack("<Q", 9000 + sector) * 64 for sector in range(34))
    found = {"disk.json": json.dumps(described).encode(), "start.bin": start, "end.bin": end}
    found["partition-1.bin"] = superblock()
    found.update({f"partition-{name[1:]}.bin": head for name, head in heads.items()})
    return found


def lay(folder: Path, described: dict[str, Any] | None = None, archive: bytes = b"archive") -> Path:
    """Put archive and evidence into a host's folder of a run."""
    folder.mkdir(parents=True)
    (folder / "root.tar.gz").write_bytes(archive)
    (folder / "evidence.tar.gz").write_bytes(evidence.pack(contents(described or disk())))
    return folder
