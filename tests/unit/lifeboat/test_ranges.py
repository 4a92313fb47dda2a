# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a layout leaves alone until commit."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.ranges import allowed

from tests.support import layouts

MIB = 1 << 20
GIB = 1 << 30


def between(start, end):
    return Extent(start * MIB, (end - start) * MIB)


def test_va_leaves_the_partition_of_the_second_group():
    # bios 1-3, dispatch 3-1027, va 1027-5123, vb 5123-8191; the last MiB belongs to the backup table.
    assert allowed(layouts.resolved("va")) == (between(5124, 8190),)


@pytest.mark.parametrize("sector_bytes", [512, 4096])
def test_dual_leaves_the_second_root(sector_bytes):
    resolved = layouts.resolved("dual", sector_bytes=sector_bytes)
    group, volume = resolved.volume("root_b")
    data = resolved.partition("system").start_lba * sector_bytes // MIB + 1
    start = data + volume.first * 4
    assert volume.first == group.volumes[0].extents
    assert allowed(resolved) == (between(start + 1, start + volume.extents * 4 - 1),)


def test_the_shipped_dual_layout_makes_the_second_file_system_at_commit():
    assert layouts.resolved("dual").file_system("root_b").at == "commit"
    document = layouts.document("dual")
    for system in document["file_systems"]:
        system.pop("at", None)
    assert allowed(resolve(load(document), DiskGeometry(8 * GIB), "run")) == ()


def test_nothing_else_of_a_group_is_written_either():
    document = layouts.document("dual")
    document["volume_groups"][0]["volumes"][-1]["size"] = "512 MiB"
    resolved = resolve(load(document), DiskGeometry(8 * GIB), "run")
    found = allowed(resolved)
    data = resolved.volume("data")[1]
    place = resolved.partition("system").start_lba // 2048 + 1 + (data.first + data.extents) * 4
    assert len(found) == 2
    assert found[1].start == (place + 1) * MIB


def test_what_no_partition_covers_is_free():
    document = layouts.document("va")
    document["partitions"] = document["partitions"][:3]
    document["partitions"][2]["size"] = "3 GiB"
    document["volume_groups"] = document["volume_groups"][:1]
    document["file_systems"] = document["file_systems"][:-1]
    document["slots"] = {"a": {"root": "root_a"}}
    resolved = resolve(load(document), DiskGeometry(8 * GIB), "run")
    assert allowed(resolved) == (between(1027 + 3072, 8191),)


def two_partitions():
    document = layouts.document("dual")
    document["partitions"][3].update(size="3 GiB", minimum="1 GiB")
    document["partitions"].append({"id": "more", "type": "lvm", "size": "rest", "name": "more"})
    document["volume_groups"][0]["partitions"] = ["system", "more"]
    return resolve(load(document), DiskGeometry(8 * GIB), "run")


def test_a_volume_on_two_partitions_is_free_on_both():
    resolved = two_partitions()
    group, volume = resolved.volume("root_b")
    # root_a takes 664 of the 767 extents on the first partition, root_b the other 103 and 561 of the second.
    assert group.partition_extents == (767, 894)
    assert (volume.first, volume.extents) == (664, 664)
    first = resolved.partition("system").start_lba // 2048 + 1
    second = resolved.partition("more").start_lba // 2048 + 1
    assert allowed(resolved) == (
        between(first + 664 * 4 + 1, first + 767 * 4 - 1),
        between(second + 1, second + 561 * 4 - 1),
    )
