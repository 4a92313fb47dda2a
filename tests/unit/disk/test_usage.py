# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that uses a disk is found: mounts, swap, holders, also high up in a stack."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import sysfs, usage
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.trees import Tree


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path)
    tree.disk("vda")
    tree.partition("vda", 1, 1 << 20, 1 << 30)
    tree.partition("vda", 2, 1 << 31, 1 << 30)
    return tree


def shown(tree, node="/dev/vda"):
    return [str(use) for use in usage.uses(node, tree.root)]


def test_unused(tree):
    assert shown(tree) == []


def test_mounts_and_swap(tree):
    tree.mount("vda1", "/mnt/with\\040space")
    tree.swap("/dev/vda2")
    assert shown(tree) == ["/dev/vda1 mounted at /mnt/with space", "/dev/vda2 used as swap"]


def test_a_mounted_volume_uses_the_disk_below(tree):
    tree.volume("dm-0", ["vda2"], "my-vg", "root")
    tree.mount("dm-0", "/")
    assert shown(tree) == ["/dev/vda2 held by my--vg-root", "/dev/dm-0 mounted at /"]


def test_btrfs_is_known_by_its_source(tree):
    tree.write("proc/self/mountinfo", "30 1 0:25 /@ / rw shared:1 - btrfs /dev/vda1 rw\n")
    assert shown(tree) == ["/dev/vda1 mounted at /"]


def test_links_lead_to_the_disk(tree):
    tree.link("dev/disk/by-id/virtio-LAB0001", "dev/vda")
    tree.mount("vda1", "/")
    assert shown(tree, "/dev/disk/by-id/virtio-LAB0001") == ["/dev/vda1 mounted at /"]
    assert sysfs.require_disk("/dev/disk/by-id/virtio-LAB0001", tree.root) == "vda"
    assert sysfs.links("vda", "dev/disk/by-id", tree.root) == ["/dev/disk/by-id/virtio-LAB0001"]


def test_mounts_merge_their_options(tree):
    tree.mount("vda1", "/", options="ro,relatime")
    assert usage.mounts(tree.root) == [usage.Mount("252:2", "/", "ext4", "/dev/vda1", "ro,relatime,rw", "/")]


@pytest.mark.parametrize(("node", "reason"), [("/dev/vda1", "It is a partition."), ("/dev/vdz", "knows no disk")])
def test_only_whole_disks(tree, node, reason):
    with pytest.raises(Fault) as raised:
        sysfs.require_disk(node, tree.root)
    assert reason in raised.value.record()["why"]


def test_what_is_no_disk(tree):
    for name in ("loop0", "dm-7", "md0", "sr0", "zram0", "mmcblk0boot0", "nvme0c1n1"):
        tree.disk(name, size_bytes=1 << 20, bus=f"virtual/{name}")
    tree.disk("sdb", size_bytes=0, bus="usb/1")
    tree.disk("mmcblk0", size_bytes=1 << 20, bus="mmc")
    assert sysfs.disks(tree.root) == ["mmcblk0", "vda"]


def test_disks_below_a_stack(tree):
    tree.disk("vdb", bus="pci0000:00/0000:00:09.0/virtio9")
    tree.stacked("md0", ["vda1", "vdb"])
    tree.volume("dm-0", ["md0"], "VG", "root")
    assert sysfs.parent_disks("dm-0", tree.root) == {"vda", "vdb"}
    assert sysfs.parent_disks("vda2", tree.root) == {"vda"}
    assert sysfs.tree("vda", tree.root) == ["vda", "vda1", "vda2", "md0", "dm-0"]
