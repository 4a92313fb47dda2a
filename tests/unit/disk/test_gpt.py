# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bytes of a GPT: round trips, both sector sizes, and every kind of damage."""

from __future__ import annotations

import io
import struct
import uuid
import zlib
from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import gpt, mbr, table
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.read import read_table

from tests.support import layouts

SIZE = 64 << 20


def small_table() -> gpt.Gpt:
    return gpt.Gpt(
        "25AF8288-17F0-59AB-8652-89076B7DDF58",
        (
            gpt.GptEntry(
                1,
                "21686148-6449-6E6F-744E-656564454649",
                "3A091948-7D09-5A89-901E-E4D4AD808072",
                2048,
                4095,
                1 << 2 | 1 << 63,
                "Größe",
            ),
            gpt.GptEntry(
                7, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "ED60694B-9D5B-53B9-B025-955185637B95", 4096, 8191, 0, ""
            ),
        ),
    )


def image(table_: gpt.Gpt, sector_bytes: int = 512, size: int = SIZE) -> io.BytesIO:
    stream = io.BytesIO(bytes(size))
    stream.write(mbr.protective(size // sector_bytes))
    for lba, data in gpt.serialise(table_, size // sector_bytes, sector_bytes).items():
        stream.seek(lba * sector_bytes)
        stream.write(data)
    return stream


def put(stream: io.BytesIO, offset: int, data: bytes) -> io.BytesIO:
    stream.seek(offset)
    stream.write(data)
    return stream


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_round_trip(sector_bytes):
    found = read_table(image(small_table(), sector_bytes), SIZE, sector_bytes)
    assert (found.kind, found.gpt, found.problems) == ("gpt", small_table(), ())
    assert found.table_id == "25af8288-17f0-59ab-8652-89076b7ddf58"
    assert found.entries[0].attribute_bits == (2, 63)
    assert found.numbers == (1, 7)


def test_the_wrong_sector_size_finds_no_table():
    assert read_table(image(small_table(), 4096), SIZE, 512).entries == ()


def test_golden_bytes_of_4096():
    """Byte for byte as the UEFI specification lays a header out, composed here by other means."""
    written = gpt.serialise(small_table(), SIZE // 4096, 4096)
    assert list(written) == [2, 1, 16379, 16383]
    array, header = written[2], written[1]
    assert len(array) == 16384
    assert len(header) == 4096
    assert array[:16] == uuid.UUID("21686148-6449-6E6F-744E-656564454649").bytes_le
    assert array[16:32].hex() == "4819093a097d895a901ee4d4ad808072"
    assert struct.unpack_from("<QQQ", array, 32) == (2048, 4095, 0x8000000000000004)
    assert array[56:66].decode("utf-16-le") == "Größe"
    assert array[6 * 128 : 6 * 128 + 4].hex() == "af3dc60f"
    body = struct.pack("<8sIIIIQQQQ", b"EFI PART", 0x10000, 92, 0, 0, 1, 16383, 10, 16378)
    body += uuid.UUID("25AF8288-17F0-59AB-8652-89076B7DDF58").bytes_le
    body += struct.pack("<QIII", 2, 128, 128, zlib.crc32(array))
    assert header[:16] == body[:16]
    assert struct.unpack_from("<I", header, 16)[0] == zlib.crc32(body)
    assert header[20:92] == body[20:92]
    assert header[92:] == bytes(4096 - 92)


def test_the_header_is_alone_in_its_sector_between_its_entries_and_the_backup():
    written = gpt.serialise(small_table(), SIZE // 512, 512, 34)
    assert list(written) == [34, 1, SIZE // 512 - 33, SIZE // 512 - 1]
    assert len(written[1]) == 512


def test_places_of_the_entries():
    assert gpt.array_places(512)[:2] == (2, 34)
    assert gpt.array_places(4096)[:2] == (2, 6)
    assert (gpt.first_usable_lba(512), gpt.first_usable_lba(4096)) == (66, 10)
    assert (gpt.last_usable_lba(1000, 512), gpt.last_usable_lba(1000, 4096)) == (966, 994)


@pytest.mark.parametrize(
    ("offset", "problem"),
    [
        (512, "primary table: no GPT signature"),
        (512 + 40, "primary table: the checksum of the header is wrong"),
        (1024, "primary table: the checksum of the entry array is wrong"),
        (SIZE - 512, "backup table: no GPT signature"),
        (SIZE - 33 * 512, "backup table: the checksum of the entry array is wrong"),
    ],
)
def test_one_damaged_copy(offset, problem):
    found = read_table(put(image(small_table()), offset, b"\xff\xff\xff"), SIZE)
    assert found.gpt == small_table()
    assert found.problems == (problem,)


def test_torn_write_shows_the_backup():
    """New primary entries with the old primary header, as a power cut inside sgdisk leaves it."""
    new = replace(small_table(), entries=small_table().entries[:1])
    stream = put(image(small_table()), 1024, gpt.serialise_entries(new.entries))
    found = read_table(stream, SIZE)
    assert found.gpt == small_table()
    assert found.problems == ("primary table: the checksum of the entry array is wrong",)


def test_copies_that_differ():
    other = replace(small_table(), entries=small_table().entries[:1])
    stream = image(small_table())
    for lba, data in list(gpt.serialise(other, SIZE // 512, 512).items())[2:]:
        put(stream, lba * 512, data)
    assert read_table(stream, SIZE).problems == ("primary and backup table differ",)


def test_disk_that_was_enlarged():
    stream = image(small_table())
    put(stream, SIZE, bytes(SIZE))
    found = read_table(stream, 2 * SIZE)
    assert found.gpt == small_table()
    assert found.problems == (
        "the backup is at sector 131071, not at the last of the disk",
        "backup table: no GPT signature",
    )


def test_missing_protective_mbr():
    assert read_table(put(image(small_table()), 0, bytes(512)), SIZE).problems == ("the protective MBR is missing",)


def test_nothing_and_too_little():
    assert read_table(io.BytesIO(bytes(SIZE)), SIZE).kind == "none"
    assert read_table(io.BytesIO(b""), 0).kind == "none"


def test_huge_counts_are_damage():
    header = gpt.parse_header(gpt.serialise(small_table(), 1000, 512)[1])
    with pytest.raises(gpt.Damaged):
        gpt.parse_header(gpt.serialise_header(replace(header, entry_count=1 << 30), 512))


def test_saved_table():
    written = list(gpt.serialise(small_table(), SIZE // 512, 512).values())
    data = mbr.protective(SIZE // 512) + written[1] + written[3] + written[0]
    assert gpt.parse_saved(data) == (small_table(), SIZE // 512)
    with pytest.raises(gpt.Damaged):
        gpt.parse_saved(data[:-1])


def test_target_of_a_layout():
    found = table.target(layouts.resolved("va"), "convert")
    assert [entry.number for entry in found.entries] == [1, 2, 3]
    assert found.entries[1].last_lba == 2103295
    assert len(table.target(layouts.resolved("va"), "commit").entries) == 4
