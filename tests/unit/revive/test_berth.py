# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the lifeboat of a restore lies, and how much smaller the old root is at first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import is_due
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import model
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import berth, old_disk, superblock

from tests.support.layouts import resolved

from .evidence import contents, disk, partition
from .evidence import superblock as head

MIB = 1 << 20
GIB = 1 << 30
FILES = {"environment": {"kernel": {"size": 9 * MIB}, "initrd": {"size": 40 * MIB}}, "payload": {"size": 100 * MIB}}
NEEDED = 9 + 40 + 2 + 100 + 4 + 1


@pytest.fixture
def layout():
    return resolved()


def old(layout, *others, **changes):
    """Return an old root that fills the disk of the layout."""
    count = layout.disk_bytes // 4096 - 256
    root = partition(sectors=count * 8)
    described = disk(root, *others, size_bytes=layout.disk_bytes)
    found = old_disk.read(described, contents(described, p1=head(blocks=count), p2=b"".ljust(4086) + b"SWAPSPACE2"))
    assert found.problems == ()
    return replace(found, **changes)


def vb(layout):
    (part,) = [one for one in layout.partitions if not is_due(one.at, "convert")]
    return part.start_lba * 512, (part.start_lba + part.sectors) * 512


def test_it_lies_at_the_end_of_slot_b_and_the_root_ends_before_it(layout):
    found = berth.find(layout, old(layout), FILES, 300 * MIB)
    start, end = vb(layout)
    assert found.doubt == ""
    assert found.length == NEEDED * MIB
    assert start <= found.start and end - 2 * MIB < found.start + found.length <= end
    assert found.blocks == (found.start - MIB) // 4096
    assert found.to_plan("required") == {
        "wish": "required",
        "used": True,
        "needed_bytes": found.length,
        "allowed": [[found.start, found.length]],
        "gaps": [[found.start, found.length]],
        "swaps": [],
    }
    assert model.place(model.sizes_of(FILES), [model.Extent(found.start, found.length)])


def test_a_root_that_ends_before_it_is_whole_at_once(layout):
    small = old(layout, root_bytes=1 * GIB, made=replace(old(layout).made, blocks=GIB // 4096))
    found = berth.find(layout, small, FILES, 100 * MIB)
    assert (found.doubt, found.blocks) == ("", GIB // 4096)


def test_sectors_that_are_put_back_do_not_fall_on_it(layout):
    start = (layout.disk_bytes - 64 * MIB) // 512
    swap = partition(number=2, start_lba=start, sectors=1024, fstype="swap", mounts=["swap"])
    found = berth.find(layout, old(layout, swap), FILES, 300 * MIB)
    assert found.start + found.length == layout.disk_bytes - 64 * MIB


@pytest.mark.parametrize(
    ("unpacked", "payload", "word"),
    [(0, 100, "nobody knows"), (300, 100_000, "no room for"), (1_000_000, 100, "no room for the old root")],
)
def test_why_there_is_none(layout, unpacked, payload, word):
    files = {**FILES, "payload": {"size": payload * MIB}}
    found = berth.find(layout, old(layout), files, unpacked * MIB)
    assert word in found.doubt and found.length == 0
    assert found.to_plan("auto")["used"] is False


def test_an_unknown_root_has_none(layout):
    assert "not known" in berth.find(layout, old_disk.OldDisk(()), FILES, 1).doubt


def test_a_smaller_file_system_has_as_many_inodes_in_a_group():
    made = replace(superblock.read(head()), blocks=64 * 32768, inodes=64 * 8192, reserved=6400)
    assert superblock.shrunk(made, 64 * 32768) == made
    fewer = superblock.shrunk(made, 50 * 32768)
    assert (fewer.blocks, fewer.inodes, fewer.reserved) == (50 * 32768, 50 * 8192, 5000)
    assert fewer.uuid == made.uuid
