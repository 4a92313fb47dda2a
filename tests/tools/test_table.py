# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Our reading of partition tables against sgdisk's, on plain files; no root, no loop device."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import gpt, mbr, read, table
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.support import layouts

SIZE = 8 << 30


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    return path


def sgdisk(*arguments) -> str:
    return subprocess.run(["sgdisk", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def info(path, number) -> dict[str, str]:
    text = sgdisk(f"--info={number}", path)
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def apply(path, name="va", upto="convert", **options):
    return table.apply(CommandRunner(), str(path), layouts.resolved(name), upto, **options)


@pytest.mark.parametrize("name", ["va", "dual"])
def test_sgdisk_sees_what_was_resolved(image, name):
    assert apply(image, name).kind == "replace"
    resolved = layouts.resolved(name)
    for part in resolved.partitions:
        if part.at == "commit":
            continue
        found = info(image, part.number)
        assert found["Partition GUID code"].split()[0] == part.type_guid
        assert found["Partition unique GUID"] == part.uuid
        assert int(found["First sector"].split()[0]) == part.start_lba
        assert int(found["Partition size"].split()[0]) == part.sectors
        assert found["Partition name"] == f"'{part.name}'"
    assert resolved.disk_guid in sgdisk("--print", image)
    assert "No problems found" in sgdisk("--verify", image)
    assert apply(image, name).kind == "none"


def test_commit_adds_one_partition_and_leaves_the_others(image):
    apply(image)
    before = read.read_disk(str(image)).entries
    change = apply(image, upto="commit")
    assert (change.kind, [entry.number for entry in change.entries]) == ("add", [4])
    after = read.read_disk(str(image)).entries
    assert after[:3] == before
    assert len(after) == 4
    # The entries lie at sector 34 now, where sgdisk finds them and has nothing to say against it.
    assert "No problems found" in sgdisk("--verify", image)
    assert int(info(image, 4)["First sector"].split()[0]) == after[3].first_lba
    assert apply(image, upto="convert").kind == "none"


def test_sgdisk_goes_on_with_a_table_of_ours(image):
    """Both ways: we add to a table of sgdisk, sgdisk adds to ours, and each verifies."""
    apply(image)
    apply(image, upto="commit")
    sgdisk("--delete=4", image)
    assert "No problems found" in sgdisk("--verify", image)
    assert read.read_disk(str(image)).problems == ()
    assert apply(image, upto="commit").kind == "add"
    assert "No problems found" in sgdisk("--verify", image)
    assert apply(image, upto="commit").kind == "none"


def write_mbr(path):
    sector = bytearray(mbr.protective(1))
    sector[0:3] = b"\xeb\x63\x90"
    sector[440:444] = b"\x78\x56\x34\x12"
    sector[446:462] = bytes.fromhex("80000000830000000008000000000100")
    with path.open("r+b") as stream:
        stream.write(sector)


def test_mbr_is_replaced_only_when_asked(image):
    write_mbr(image)
    found = read.read_disk(str(image))
    assert (found.kind, found.table_id) == ("dos", "12345678")
    assert found.mbr.entries == (mbr.MbrEntry(1, 0x83, 2048, 65536, True),)
    with pytest.raises(Fault) as raised:
        apply(image)
    assert raised.value.id == "disk.relabel_refused"
    assert read.read_disk(str(image)) == found
    assert apply(image, relabel=True).kind == "replace"
    assert read.read_disk(str(image)).kind == "gpt"


def test_another_gpt_is_replaced_only_when_asked(image):
    sgdisk("--new=1:2048:+1M", image)
    with pytest.raises(Fault) as raised:
        apply(image)
    assert raised.value.id == "disk.relabel_refused"
    apply(image, relabel=True)


def test_a_file_system_without_table_is_not_overwritten(image):
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image), "64M"], check=True)
    with pytest.raises(Fault) as raised:
        apply(image)
    assert "ext4" in raised.value.what


@pytest.mark.parametrize("sector", [1, 2, SIZE // 512 - 1, SIZE // 512 - 33])
def test_a_damaged_copy_is_noticed_and_mended(image, sector):
    apply(image)
    with image.open("r+b") as stream:
        stream.seek(sector * 512 + 16)
        stream.write(b"damage")
    found = read.read_disk(str(image))
    assert len(found.problems) == 1
    assert len(found.entries) == 3
    apply(image, relabel=True)
    assert read.read_disk(str(image)).problems == ()


@pytest.mark.parametrize("upto", ["convert", "commit"])
@pytest.mark.parametrize("part", ["header", "entries", "backup header", "backup entries"])
def test_the_advice_for_a_damaged_copy(image, part, upto):
    """What the faults of a disk that differs tell a person to run: wherever the entries lie, nothing is lost."""
    apply(image)
    apply(image, upto=upto)
    with image.open("r+b") as stream:
        stream.seek(512 + 72)
        entries = int.from_bytes(stream.read(8), "little")
        sectors = {
            "header": 1,
            "entries": entries,
            "backup header": SIZE // 512 - 1,
            "backup entries": SIZE // 512 - 33,
        }
        stream.seek(sectors[part] * 512 + 16)
        stream.write(b"damage")
    assert entries == (34 if upto == "commit" else 2)
    assert len(read.read_disk(str(image)).problems) == 1
    sgdisk("--move-second-header", image)
    found = read.read_disk(str(image))
    assert (found.gpt, found.problems) == (table.target(layouts.resolved("va"), upto), ())
    assert apply(image, upto=upto).kind == "none"


def test_both_copies_damaged(image):
    apply(image)
    with image.open("r+b") as stream:
        for sector in (1, SIZE // 512 - 1):
            stream.seek(sector * 512)
            stream.write(bytes(512))
    assert len(read.read_disk(str(image)).problems) == 2
    apply(image, relabel=True)
    assert read.read_disk(str(image)).problems == ()


def test_names_and_attributes_beyond_ascii(image):
    wanted = table.target(layouts.resolved("va"), "convert")
    entries = (replace(wanted.entries[0], name="Größe 1", attributes=1 << 2 | 1 << 60), *wanted.entries[1:])
    table.apply_table(CommandRunner(), str(image), replace(wanted, entries=entries))
    found = info(image, 1)
    assert found["Attribute flags"] == "1000000000000004"
    assert found["Partition name"].startswith("'Gr")
    assert read.read_disk(str(image)).gpt.entry(1).attribute_bits == (2, 60)


def test_a_table_saved_by_sgdisk(image, tmp_path):
    apply(image)
    sgdisk(f"--backup={tmp_path / 'table'}", image)
    saved, sectors = table.saved(tmp_path / "table")
    assert saved == read.read_disk(str(image)).gpt
    assert sectors == SIZE // 512
    data = bytearray((tmp_path / "table").read_bytes())
    data[1600] ^= 1
    (tmp_path / "broken").write_bytes(data)
    with pytest.raises(Fault) as raised:
        table.saved(tmp_path / "broken")
    assert raised.value.id == "disk.table_file"


def test_our_own_bytes_please_sgdisk(image):
    """What a one-sector switch will write: sgdisk finds nothing wrong with it."""
    wanted = table.target(layouts.resolved("dual"), "convert")
    with image.open("r+b") as stream:
        stream.write(mbr.protective(SIZE // 512))
        for lba, data in gpt.serialise(wanted, SIZE // 512, 512).items():
            stream.seek(lba * 512)
            stream.write(data)
    assert "No problems found" in sgdisk("--verify", image)
    found = read.read_disk(str(image))
    assert (found.gpt, found.problems) == (wanted, ())
    assert re.search(r"Disk identifier \(GUID\): " + wanted.disk_guid, sgdisk("--print", image))
    assert apply(image, "dual").kind == "none"


def test_stale_signatures_are_gone(image):
    part = layouts.resolved("va").partition("va")
    with image.open("r+b") as stream:
        for offset in (part.start_lba * 512, (part.start_lba + part.sectors) * 512 - 4096):
            stream.seek(offset)
            stream.write(b"LABELONE" * 8)
    apply(image)
    with image.open("rb") as stream:
        for offset in (part.start_lba * 512, (part.start_lba + part.sectors) * 512 - 4096):
            stream.seek(offset)
            assert stream.read(64) == bytes(64)
