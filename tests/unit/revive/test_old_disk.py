# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of the old disk is put back, and what keeps it from coming back."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import old_disk, superblock

from .evidence import DISK_BYTES, MIB, UUID, contents, disk, partition, swap
from .evidence import superblock as head

FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,"
    "sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"
)


def places(old):
    return [(piece.file, piece.skip, piece.start, piece.length) for piece in old.pieces]


def ids(old):
    return [problem.kind.id for problem in old.problems]


def test_the_file_system_is_made_with_its_own_features():
    made = superblock.read(head())
    assert made is not None and made.unknown == ()
    assert made.options() == [
        *("-b", "4096", "-I", "256", "-N", "4096", "-m", "5.0000", "-O", FEATURES, "-U", UUID, "-L", "old"),
    ]


def test_a_file_system_without_label_gets_none():
    assert "-L" not in superblock.read(head(label="")).options()


def test_what_mounting_notes_is_no_feature():
    assert superblock.read(head(fields=(0x1000, 0x4, 0x10000))).features == ("orphan_file",)


def test_features_that_cannot_be_made_are_named():
    assert superblock.read(head(fields=(0x400, 0x10000, 0x200))).unknown == (
        "compat 0x400",
        "incompat 0x10000",
        "ro_compat 0x200",
    )


@pytest.mark.parametrize("content", [b"", bytes(8192), head()[:1500], b"XFSB".ljust(8192, b"\0"), head(blocks=0)])
def test_no_such_file_system(content):
    assert superblock.read(content) is None


def test_lba_0_is_the_last_piece():
    described = disk()
    old = old_disk.read(described, contents(described))
    assert ids(old) == []
    assert places(old) == [
        ("partition-1.bin", 0, MIB, 1024),
        ("start.bin", 512, 512, MIB - 512),
        ("start.bin", 0, 0, 512),
    ]
    assert old.cleared == ((DISK_BYTES - 33 * 512, 33 * 512),)
    assert (old.root_start, old.root_bytes) == (MIB, 15 * MIB)
    assert old.pieces[-1].sha256 == hashlib.sha256(contents(described)["start.bin"][:512]).hexdigest()


def test_a_partition_in_the_first_mebibyte_is_left_to_its_file_system():
    described = disk(partition(start_lba=63))
    old = old_disk.read(described, contents(described))
    assert places(old)[-2:] == [("start.bin", 512, 512, 62 * 512), ("start.bin", 0, 0, 512)]


def test_swap_comes_back_by_its_header():
    area = partition(number=2, start_lba=16 * 2048, sectors=2048, fstype="swap", mounts=["swap"], type="0x82")
    described = disk(partition(), area)
    old = old_disk.read(described, contents(described, p2=swap()))
    assert ids(old) == []
    assert ("partition-2.bin", 0, 16 * MIB, 4096) in places(old)


def test_both_copies_of_a_gpt_come_back():
    bios = partition(number=2, start_lba=34, sectors=2014, fstype="", mounts=[], type=old_disk._BIOS_BOOT.upper())
    described = disk(partition(type="0fc63daf-8483-4772-8e79-3d69d8477de4"), bios, table="gpt")
    old = old_disk.read(described, contents(described))
    assert ids(old) == []
    assert old.cleared == ()
    assert places(old)[1:] == [
        ("end.bin", 512, DISK_BYTES - 33 * 512, 33 * 512),
        ("start.bin", 512, 512, MIB - 512),
        ("start.bin", 0, 0, 512),
    ]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"fstype": "xfs"}, ["revive.root_not_plain"]),
        ({"fstype": "LVM2_member", "mounts": []}, ["revive.root_not_plain", "revive.not_saved"]),
        ({"holders": ["vg-root"]}, ["revive.root_not_plain"]),
        ({"fs_uuid": "other"}, ["revive.root_not_plain"]),
        ({"sectors": 2048}, ["revive.root_not_plain"]),
    ],
)
def test_a_root_that_cannot_come_back(changes, found):
    described = disk(partition(**changes))
    assert ids(old_disk.read(described, contents(described))) == found


@pytest.mark.parametrize(
    ("changes", "content"),
    [
        ({"fstype": "ext4", "mounts": ["/home"]}, "ext4 /home"),
        ({"fstype": "LVM2_member", "mounts": []}, "LVM2_member"),
        ({"fstype": "swap", "mounts": ["swap"]}, "swap that holds something else"),
        ({"fstype": "", "mounts": [], "type": "0x5"}, "logical partitions"),
        ({"number": 5, "fstype": "swap", "mounts": []}, "swap that holds something else"),
        ({"fstype": "", "mounts": [], "type": old_disk._BIOS_BOOT}, "the core image of GRUB"),
    ],
)
def test_what_is_not_in_the_archive(changes, content):
    other = partition(**{"number": 2, "start_lba": 40 * 2048, "sectors": 2048, **changes})
    described = disk(partition(), other)
    (problem,) = old_disk.read(described, contents(described)).problems
    assert (problem.kind.id, problem.particulars["content"]) == ("revive.not_saved", content)


def test_every_problem_is_told_at_once():
    described = disk(
        partition(fstype="xfs"), partition(number=2, mounts=["/srv"]), logical_sector_bytes=4096, table="x"
    )
    found = ids(old_disk.read(described, contents(described)))
    assert found == ["revive.root_not_plain"] * 3 + ["revive.not_saved"]


def test_unknown_features_are_a_problem():
    described = disk()
    bad = contents(described, p1=head(fields=(0, 0x10000, 0)))
    assert ids(old_disk.read(described, bad)) == ["revive.features_unknown"]
