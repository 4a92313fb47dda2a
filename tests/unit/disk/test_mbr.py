# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Master boot records as old systems have them."""

from __future__ import annotations

import struct

from ansible_collections.dualroot.migrate.plugins.module_utils.disk import mbr


def sector(*entries, disk_id=0x12345678):
    data = bytearray(512)
    struct.pack_into("<I", data, 440, disk_id)
    for index, (flag, kind, first, count) in enumerate(entries):
        struct.pack_into("<B3sB3sII", data, 446 + 16 * index, flag, b"", kind, b"", first, count)
    data[510:] = b"\x55\xaa"
    return bytes(data)


def test_logical_partitions_follow_the_chain():
    sectors = {
        0: sector((0x80, 0x83, 2048, 1000), (0, 0x05, 10000, 5000)),
        10000: sector((0, 0x82, 63, 100), (0, 0x05, 2000, 500)),
        12000: sector((0, 0x8E, 63, 200)),
    }
    found = mbr.parse(lambda lba: sectors[lba])
    assert found == mbr.Mbr(
        "12345678",
        (
            mbr.MbrEntry(1, 0x83, 2048, 1000, True),
            mbr.MbrEntry(2, 0x05, 10000, 5000, False),
            mbr.MbrEntry(5, 0x82, 10063, 100, False),
            mbr.MbrEntry(6, 0x8E, 12063, 200, False),
        ),
    )


def test_a_chain_that_loops_ends():
    sectors = {0: sector((0, 0x0F, 100, 50)), 100: sector((0, 0x83, 1, 5), (0, 0x05, 0, 50))}
    assert len(mbr.parse(lambda lba: sectors[lba]).entries) == 2


def test_no_table():
    assert mbr.parse(lambda _lba: bytes(512)) is None
    fat = bytearray(b"\x90" * 512)
    fat[510:] = b"\x55\xaa"
    assert mbr.parse(lambda _lba: bytes(fat)) is None


def test_protective():
    data = mbr.protective(1 << 40, boot_code=b"\xeb\x63\x90")
    assert data[:3] == b"\xeb\x63\x90"
    found = mbr.parse(lambda _lba: data)
    assert found.protective
    assert found.entries == (mbr.MbrEntry(1, 0xEE, 1, 0xFFFFFFFF, False),)
