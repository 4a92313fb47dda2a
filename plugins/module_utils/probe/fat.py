# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much room a FAT has, read from its own table: a partition that is not mounted is not mounted for this.

Field offsets: Microsoft's "FAT32 File System Specification", version 1.03, "Boot Sector and BPB".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

#: Above these numbers of clusters a FAT is FAT16, and FAT32.
_FAT12_CLUSTERS, _FAT16_CLUSTERS = 4085, 65525
#: An entry of FAT32 has 28 bits.
_FAT32_MASK = 0x0FFFFFFF
#: The largest table that is read; that of a FAT32 of 128 GiB with clusters of 4 KiB.
_LARGEST_TABLE = 128 << 20


@dataclass(frozen=True)
class Fat:
    """Where the parts of a FAT lie, in bytes."""

    cluster_bytes: int
    table_start: int
    table_bytes: int
    clusters: int


def geometry(sector: bytes) -> Fat | None:
    """Return what the first 512 bytes say of a FAT; None where they make no sense."""
    if len(sector) < 90 or sector[510:512] != b"\x55\xaa":
        return None
    bytes_per_sector, per_cluster, reserved, tables, root_entries, small = struct.unpack_from("<HBHBHH", sector, 11)
    table16, large, table32 = *struct.unpack_from("<H", sector, 22), *struct.unpack_from("<II", sector, 32)
    sectors, table = small or large, table16 or table32
    if bytes_per_sector not in (512, 1024, 2048, 4096) or not per_cluster or not reserved or not tables or not table:
        return None
    root_sectors = -(-root_entries * 32 // bytes_per_sector)
    data = sectors - reserved - tables * table - root_sectors
    if data < per_cluster:
        return None
    return Fat(
        per_cluster * bytes_per_sector, reserved * bytes_per_sector, table * bytes_per_sector, data // per_cluster
    )


def free_bytes(node: Path) -> int | None:
    """Return the free bytes of the FAT on a device, None where there is none or it cannot be read."""
    try:
        with node.open("rb") as file:
            fat = geometry(file.read(512))
            if fat is None or fat.table_bytes > _LARGEST_TABLE:
                return None
            file.seek(fat.table_start)
            table = file.read(fat.table_bytes)
    except OSError:
        return None
    return _free_clusters(fat, table) * fat.cluster_bytes


def _free_clusters(fat: Fat, table: bytes) -> int:
    # The first two entries stand for no cluster.
    last = fat.clusters + 2
    if fat.clusters < _FAT12_CLUSTERS:
        pairs = (int.from_bytes(table[at * 3 // 2 : at * 3 // 2 + 2], "little") for at in range(2, last))
        return sum(not (pair >> 4 if at % 2 else pair & 0xFFF) for at, pair in enumerate(pairs, 2))
    if fat.clusters < _FAT16_CLUSTERS:
        return sum(not entry for (entry,) in struct.iter_unpack("<H", table[4 : last * 2 // 2 * 2]))
    return sum(not entry & _FAT32_MASK for (entry,) in struct.iter_unpack("<I", table[8 : last * 4 // 4 * 4]))
