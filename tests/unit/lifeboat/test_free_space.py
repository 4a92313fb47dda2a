# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host has room: gaps and swap of its disk, free blocks of its root. The real ones: tests/tools."""

from __future__ import annotations

import fcntl
import os
import struct

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import gpt
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import ext4_bitmaps, free_space, fsmap
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent

from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree, write_gpt, write_mbr

MIB = 1 << 20
GIB = 1 << 30


def part(number, start, size, fstype="", sector=512):
    return {
        "node": f"/dev/vda{number}",
        "start_lba": start * MIB // sector,
        "sectors": size * MIB // sector,
        "fstype": fstype,
    }


def host(tmp_path, entries, size=8 * GIB):
    tree = Tree(tmp_path)
    tree.disk("vda", size_bytes=size)
    write_mbr(tmp_path / "dev/vda", [(kind, start * 2048, count * 2048) for kind, start, count in entries])
    return tree


def room(tree, partitions, fstype="ext4", free=(), runner=None):
    disk = {"name": "/dev/vda", "logical_sector_bytes": 512, "partitions": partitions}
    super_block = bytearray(2048)
    struct.pack_into("<H", super_block, 1024 + 56, 0xEF53)
    struct.pack_into("<I", super_block, 1024 + 96, 0x40)
    struct.pack_into("<I", super_block, 1024 + 32, 8192)
    tree.write("dev/vda1", bytes(super_block))
    return free_space.read_room(runner or FakeRunner(), disk, "/dev/vda1", fstype, tree.root, lambda _root: free)


def shown(found):
    return [(one["kind"], one["start"] / MIB, one["length"] / MIB, one["node"]) for one in found["areas"]]


def test_free_blocks_of_the_root_are_told_in_bytes_of_the_disk(tmp_path):
    tree = host(tmp_path, [(0x83, 1, 8190)])
    free = [
        Extent(0, 3 * MIB),  # the first MiB of the partition is left alone
        Extent(10 * MIB, MIB // 2),  # too small, and joined with the next
        Extent(10 * MIB + MIB // 2, 20 * MIB),
        Extent(100 * MIB + 512, MIB),  # not a whole MiB in whole blocks
        Extent(8189 * MIB, MIB),  # the last MiB
    ]
    found = room(tree, [part(1, 1, 8190, "ext4")], free=free)
    assert shown(found) == [
        ("file", 2.0, 2.0, "/dev/vda1"),
        ("file", 11.0, 20.5, "/dev/vda1"),
    ]
    assert found["doubt"] == ""
    assert found["held_bytes"] == max(sum(one.length for one in free) - found["budget_bytes"], 0)


def test_gaps_leave_both_ends_of_the_disk_and_extended_containers_alone(tmp_path):
    # A primary, an extended partition with space in it, and a gap behind.
    tree = host(tmp_path, [(0x83, 10, 1000), (0x05, 2000, 3000)])
    found = room(tree, [part(1, 10, 1000, "ext4")])
    assert shown(found) == [
        ("gap", 1.0, 9.0, ""),
        ("gap", 1010.0, 990.0, ""),
        ("gap", 5000.0, 3191.0, ""),
    ]


def test_the_second_table_of_a_disk_that_has_grown_is_no_gap(tmp_path):
    tree = Tree(tmp_path)
    tree.disk("vda")
    disk = tmp_path / "dev/vda"
    os.truncate(disk, 4 * GIB)
    write_gpt(disk, gpt.Gpt("25AF8288-17F0-59AB-8652-89076B7DDF58", ()))
    os.truncate(disk, 8 * GIB)
    before, behind = [one for one in room(tree, [part(1, 1, 1000, "ext4")])["areas"] if one["kind"] == "gap"]
    assert before["start"] == 1001 * MIB
    # The entries take 32 sectors and the header the last one.
    assert 4 * GIB - 33 * 512 - 4096 < before["start"] + before["length"] <= 4 * GIB - 33 * 512
    assert behind["start"] == 4 * GIB


def test_a_disk_without_a_table_has_no_gaps(tmp_path):
    tree = Tree(tmp_path)
    tree.disk("vda")
    assert room(tree, [])["areas"] == []


def test_swap_leaves_its_header_and_a_hibernated_system_is_no_swap(tmp_path):
    tree = host(tmp_path, [(0x83, 1, 4095), (0x82, 4096, 1024), (0x82, 5120, 3071)])
    partitions = [part(1, 1, 4095, "ext4"), part(2, 4096, 1024, "swap"), part(3, 5120, 3071, "swsuspend")]
    assert shown(room(tree, partitions)) == [("swap", 4097.0, 1022.0, "/dev/vda2")]


@pytest.mark.parametrize("fstype", ["ext3", "btrfs"])
def test_other_file_systems_are_told_as_doubt(tmp_path, fstype):
    tree = host(tmp_path, [(0x83, 1, 8190)])
    found = room(tree, [part(1, 1, 8190, fstype)], fstype=fstype, free=[Extent(MIB, GIB)])
    assert found["areas"] == []
    assert found["budget_bytes"] == 0
    assert fstype in found["doubt"]


def test_only_the_largest_areas_are_kept_in_order_of_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(free_space, "MOST_AREAS", 2)
    tree = host(tmp_path, [(0x83, 1, 8190)])
    free = [Extent(start * MIB, size * MIB) for start, size in ((10, 5), (20, 1), (30, 9))]
    assert shown(room(tree, [part(1, 1, 8190, "ext4")], free=free)) == [
        ("file", 11.0, 5.0, "/dev/vda1"),
        ("file", 31.0, 9.0, "/dev/vda1"),
    ]


def test_xfs_db_is_asked_where_the_kernel_does_not_tell(tmp_path):
    tree = host(tmp_path, [(0x83, 1, 8190)])
    head = bytearray(512)
    head[:4] = b"XFSB"
    struct.pack_into(">I", head, 4, 4096)
    struct.pack_into(">I", head, 84, 65536)
    tree.write("dev/vda1", bytes(head))
    listing = "       0      512     1024\n       1       16      600\n   from      to extents  blocks    pct\n"
    runner = FakeRunner({("xfs_db", "-r", "-c", "freesp -d", "/dev/vda1"): listing})

    def refuses(_root):
        raise OSError(25, "Inappropriate ioctl for device")

    where = free_space.Root("/dev/vda1", "xfs", MIB, 8190 * MIB)
    found = free_space.root_areas(runner, where, tmp_path, refuses)
    assert found.areas == [Extent(3 * MIB, 4 * MIB), Extent(MIB + 65552 * 4096, 600 * 4096)]
    assert found.free_bytes == 1624 * 4096


def test_the_budget_keeps_a_reserve(monkeypatch):
    class Space:
        f_frsize, f_blocks, f_bfree, f_bavail = 4096, 16 * GIB // 4096, 8 * GIB // 4096, 7 * GIB // 4096

    monkeypatch.setattr(os, "statvfs", lambda _path: Space)
    assert free_space.budget("/") == 7 * GIB - 256 * MIB
    Space.f_bavail = Space.f_bfree
    assert free_space.budget("/") == 8 * GIB - int(16 * GIB * 0.05)
    Space.f_bfree = Space.f_bavail = 10
    assert free_space.budget("/") == 0


@pytest.mark.parametrize(
    ("bits", "count", "runs"),
    [
        (b"\x00", 8, [(0, 8)]),
        (b"\xff\x0f", 16, [(12, 4)]),
        (b"\x01\x80", 16, [(1, 14)]),
        (b"\x05\x00", 10, [(1, 1), (3, 7)]),
        (b"\xff", 8, []),
    ],
)
def test_runs_of_free_blocks_in_a_bitmap(bits, count, runs):
    assert list(ext4_bitmaps.zero_runs(bits, count)) == runs


def test_backups_of_the_super_block_lie_in_groups_of_powers():
    sparse = ext4_bitmaps.Ext4(4096, 1 << 20, 0, 32768, 512, 64, 0, sparse=True, extents=True)
    assert [group for group in range(60) if ext4_bitmaps._has_super(sparse, group)] == [0, 1, 3, 5, 7, 9, 25, 27, 49]


def test_the_kernel_is_asked_until_the_last_record(tmp_path, monkeypatch):
    asked = []
    number = os.stat(tmp_path).st_dev
    device = (os.minor(number) & 0xFF) | (os.major(number) << 8) | ((os.minor(number) & ~0xFF) << 12)
    answers = [
        [(device, 0x10, 0, 1, 0, 4096), (device, 0, 4096, 77, 0, 8192)],
        [(device + 1, 0x10, 0, 1, 0, 512), (device, 0x30, 12288, 1, 0, 65536)],
    ]

    def ioctl(_handle, request, buffer):
        assert request == 0xC0C0583B
        asked.append(struct.unpack_from("<IIQQQQ", buffer, 64))
        records = answers[len(asked) - 1]
        struct.pack_into("<IIII", buffer, 0, 0, 0, 4096, len(records))
        for index, record in enumerate(records):
            struct.pack_into("<IIQQQQ", buffer, 192 + 64 * index, *record)

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert list(fsmap.free_extents(tmp_path)) == [Extent(0, 4096), Extent(12288, 65536)]
    assert asked == [(0, 0, 0, 0, 0, 0), answers[0][-1]]
