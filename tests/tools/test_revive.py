# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole old disk as a file: it is saved, overwritten, and brought back by the real tools."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import disk, old_disk, saved, superblock
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner
from ansible_collections.dualroot.migrate.plugins.module_utils.snapshot import evidence

MIB = 1 << 20
SIZE = 96 * MIB
UUID = "803056aa-8e06-4742-a01d-e8355ddd01f3"
SHAPE = ("Filesystem volume name", "Filesystem UUID", "Filesystem features", "Inode count", "Block", "Reserved block")
ROOT, SWAP = (2048, 129024), (131072, 16384)


def shape(image):
    """Return what dumpe2fs says of the shape of a file system."""
    said = subprocess.run(["dumpe2fs", "-h", str(image)], capture_output=True, text=True, check=True).stdout
    return [line for line in said.splitlines() if line.startswith(SHAPE)]


def lay_table(path, kind):
    """Write a table with a root and a swap partition, boot code before it and a core image behind it."""
    if kind == "gpt":
        entries = [
            f"--new={number}:{start}:{start + count - 1}" for number, (start, count) in enumerate((ROOT, SWAP), 1)
        ]
        subprocess.run(["sgdisk", *entries, str(path)], check=True, capture_output=True)
    with path.open("r+b") as file:
        file.write(b"\xeb\x63\x90" * 40)
        if kind == "dos":
            file.seek(446)
            for (start, count), type_byte in ((ROOT, 0x83), (SWAP, 0x82)):
                file.write(struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", type_byte, b"\xfe\xff\xff", start, count))
            file.seek(510)
            file.write(b"\x55\xaa")
        file.seek(40 * 512)
        file.write(b"core" * 100)


def described(path, kind):
    names = ({"fstype": "ext4", "fs_uuid": UUID, "mounts": ["/"]}, {"fstype": "swap", "mounts": ["swap"]})
    return {
        "name": str(path),
        "serial": "S",
        "size_bytes": SIZE,
        "logical_sector_bytes": 512,
        "table": kind,
        "table_id": "0aeb187f",
        "partitions": [
            {"number": number, "start_lba": start, "sectors": count, "type": "", **name}
            for number, ((start, count), name) in enumerate(zip((ROOT, SWAP), names), 1)
        ],
    }


@pytest.mark.parametrize("kind", ["dos", "gpt"])
@pytest.mark.parametrize(
    "make", [["-O", "^metadata_csum,^64bit", "-I", "128"], ["-L", "old root", "-m", "1", "-b", "4096"]]
)
def test_a_disk_comes_back(tmp_path: Path, kind: str, make: list[str]) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        file.truncate(SIZE)
    lay_table(path, kind)
    place = ["-E", f"offset={MIB},root_owner=0:0", str(path), "63M"]
    subprocess.run(["mkfs.ext4", "-q", "-F", "-U", UUID, *make, *place], check=True)
    swap = tmp_path / "swap"
    swap.write_bytes(bytes(8 * MIB))
    subprocess.run(["mkswap", "-L", "pages", str(swap)], check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(64 * MIB)
        file.write(swap.read_bytes())
    before = path.read_bytes()
    facts = described(path, kind)
    saved = evidence.collect(CommandRunner(), lambda program: None, facts)

    old = old_disk.read(facts, saved)
    assert old.problems == ()
    path.write_bytes(b"\xa5" * SIZE)
    plan = old.to_plan()
    for start, length in plan["cleared"]:
        disk.put_back(str(path), start, bytes(length))
    root = tmp_path / "root"
    with root.open("wb") as file:
        file.truncate(plan["root"]["length"])
    runner = CommandRunner()
    runner.run(disk.make_argv(str(root), plan["root"], dry=True))
    assert root.stat().st_blocks == 0
    runner.run(disk.make_argv(str(root), plan["root"]))
    with path.open("r+b") as file:
        file.seek(plan["root"]["start"])
        file.write(root.read_bytes())
    for piece in plan["pieces"]:
        content = saved[piece["file"]][piece["skip"] : piece["skip"] + piece["length"]]
        disk.put_back(str(path), piece["start"], content)

    after = path.read_bytes()
    assert after[: MIB + 1024] == before[: MIB + 1024]
    assert after[64 * MIB : 64 * MIB + 4096] == before[64 * MIB : 64 * MIB + 4096]
    (tmp_path / "was").write_bytes(before[MIB : 64 * MIB])
    (tmp_path / "is").write_bytes(after[MIB : 64 * MIB])
    assert shape(tmp_path / "is") == shape(tmp_path / "was")
    subprocess.run(["e2fsck", "-f", "-n", str(tmp_path / "is")], check=True, capture_output=True)
    # A GPT has its backup again, an MBR none of the converted disk's.
    assert after[-33 * 512 :] == (before[-33 * 512 :] if kind == "gpt" else bytes(33 * 512))
    assert superblock.read(after[MIB : MIB + 8192]) == superblock.read(before[MIB : MIB + 8192])


@pytest.mark.parametrize("made", [(2 << 30, ["-b", "4096"]), (1 << 30, ["-b", "4096", "-N", "20000", "-L", "x"])])
def test_a_root_that_was_made_smaller_at_first_grows_to_what_it_was(
    tmp_path: Path, made: tuple[int, list[str]]
) -> None:
    """A lifeboat lies where it ended until it has grown."""
    size, options = made
    was, image = tmp_path / "was", tmp_path / "image"
    for path in (was, image):
        with path.open("wb") as file:
            file.truncate(size)
    features = ["-O", "^orphan_file,^metadata_csum_seed"]
    subprocess.run(["mkfs.ext4", "-q", "-F", "-U", UUID, *features, *options, str(was)], check=True)
    with was.open("rb") as file:
        old = superblock.read(file.read(8192))
    assert old is not None
    first = superblock.shrunk(old, old.blocks - 160 * 256)
    plan = {"options": first.options(), "blocks": first.blocks}
    CommandRunner().run(disk.make_argv(str(image), plan))
    assert shape(image) != shape(was)
    subprocess.run(["resize2fs", str(image), str(old.blocks)], check=True, capture_output=True)
    with image.open("rb") as file:
        grown = superblock.read(file.read(8192))
    assert grown is not None
    assert (grown.blocks, grown.uuid, grown.inodes) == (old.blocks, old.uuid, old.inodes)
    assert abs(grown.reserved - old.reserved) <= old.blocks // 1000
    assert set(grown.features) == set(old.features)
    subprocess.run(["e2fsck", "-f", "-n", str(image)], check=True, capture_output=True)


@pytest.mark.parametrize("program", ["gzip", "zstd"])
def test_what_an_archive_unpacks_to_is_counted(tmp_path: Path, program: str) -> None:
    path = tmp_path / "archive"
    path.write_bytes(subprocess.run([program, "-c"], input=b"x" * 3_000_000, capture_output=True, check=True).stdout)
    assert saved.unpacked_bytes(CommandRunner(), path, program) == 3_000_000
    path.write_bytes(path.read_bytes()[:-9])
    assert saved.unpacked_bytes(CommandRunner(), path, program) == 0
