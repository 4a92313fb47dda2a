# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of partitions on every kind of disk."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import nodes


@pytest.mark.parametrize(
    ("disk", "number", "node"),
    [
        ("/dev/vda", 1, "/dev/vda1"),
        ("/dev/sdaa", 12, "/dev/sdaa12"),
        ("/dev/xvda", 2, "/dev/xvda2"),
        ("/dev/nvme0n1", 2, "/dev/nvme0n1p2"),
        ("/dev/mmcblk0", 1, "/dev/mmcblk0p1"),
        ("/dev/loop7", 3, "/dev/loop7p3"),
    ],
)
def test_partition_node_and_back(disk, number, node):
    assert nodes.partition_node(disk, number) == node
    assert nodes.split_partition(node) == (disk, number)
    assert nodes.split_partition(node[5:]) == (disk[5:], number)


@pytest.mark.parametrize("node", ["/dev/vda", "/dev/nvme0n1", "/dev/mmcblk0", "/dev/dm-0", "/dev/VA/root"])
def test_no_partition(node):
    assert nodes.split_partition(node) is None


def test_volume_names():
    assert nodes.volume_node("VA", "root") == "/dev/VA/root"
    assert nodes.mapper_name("my-vg", "a-b") == "my--vg-a--b"
