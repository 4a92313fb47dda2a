# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""LVM physical volumes as bytes, so that GRUB finds logical volumes where no device-mapper exists.

Layout of label, header and metadata area: lvm2's ``lib/format_text/layout.h`` and ``lib/label/label.h``;
``pvck --dump headers`` reads what is made here.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

SECTOR = 512
EXTENT = 1 << 20
AREA_START = 4096
#: First extent of data, in bytes from the start of the physical volume.
DATA_START = 1 << 20
_INITIAL_CRC = 0xF597A6CF
_MAGIC = b"\x20\x4c\x56\x4d\x32\x20\x78\x5b\x35\x41\x25\x72\x30\x4e\x2a\x3e"


@dataclass(frozen=True)
class Volume:
    name: str
    extents: int


def header(group: str, volumes: tuple[Volume, ...], size: int) -> bytes:
    """Return the first ``DATA_START`` bytes of a physical volume that alone makes up ``group``.

    The volumes lie one after the other from ``DATA_START`` on.
    """
    seed = zlib.crc32(group.encode())
    physical = f"{seed:032x}"
    text = _metadata(group, volumes, physical, size).encode() + b"\0"
    area = struct.pack("<16sIQQ", _MAGIC, 1, AREA_START, DATA_START - AREA_START)
    area += struct.pack("<QQII", SECTOR, len(text), _crc(text), 0)
    area = area.ljust(SECTOR - 4, b"\0")
    label = struct.pack("<I8s32sQ", 32, b"LVM2 001", physical.encode(), size)
    label += struct.pack("<QQQQ", DATA_START, 0, 0, 0)
    label += struct.pack("<QQQQ", AREA_START, DATA_START - AREA_START, 0, 0)
    label = label.ljust(SECTOR - 20, b"\0")
    start = bytes(SECTOR) + struct.pack("<8sQI", b"LABELONE", 1, _crc(label)) + label
    start = start.ljust(AREA_START, b"\0") + struct.pack("<I", _crc(area)) + area + text
    return start.ljust(DATA_START, b"\0")


def _metadata(group: str, volumes: tuple[Volume, ...], physical: str, size: int) -> str:
    extents = (size - DATA_START) // EXTENT
    lines = [
        f"{group} {{",
        f'id = "{_dashed(f"{zlib.crc32(physical.encode()):032x}")}"',
        "seqno = 1",
        'format = "lvm2"',
        'status = ["RESIZEABLE", "READ", "WRITE"]',
        "flags = []",
        f"extent_size = {EXTENT // SECTOR}",
        "max_lv = 0",
        "max_pv = 0",
        "",
        "physical_volumes {",
        "",
        "pv0 {",
        f'id = "{_dashed(physical)}"',
        'device = "/dev/none"',
        'status = ["ALLOCATABLE"]',
        "flags = []",
        f"dev_size = {size // SECTOR}",
        f"pe_start = {DATA_START // SECTOR}",
        f"pe_count = {extents}",
        "}",
        "}",
        "",
        "logical_volumes {",
    ]
    first = 0
    for number, volume in enumerate(volumes):
        lines += [
            "",
            f"{volume.name} {{",
            f'id = "{_dashed(f"{zlib.crc32(volume.name.encode()) + number:032x}")}"',
            'status = ["READ", "WRITE", "VISIBLE"]',
            "flags = []",
            "segment_count = 1",
            "",
            "segment1 {",
            "start_extent = 0",
            f"extent_count = {volume.extents}",
            'type = "striped"',
            "stripe_count = 1",
            "stripes = [",
            f'"pv0", {first}',
            "]",
            "}",
            "}",
        ]
        first += volume.extents
    lines += ["}", "}", 'contents = "Text Format Volume Group"', "version = 1", ""]
    return "\n".join(lines)


def _dashed(identity: str) -> str:
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(identity[start:end] for start, end in zip(cuts, cuts[1:]))


def _crc(data: bytes) -> int:
    """lvm2's CRC: the common polynomial, another start, no inversion."""
    return zlib.crc32(data, _INITIAL_CRC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
