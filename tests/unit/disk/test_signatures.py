# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the old system left is torn down in order, on the planned disk alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import gpt
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.signatures import check, tear_down
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree, write_gpt, write_mbr

ESP = "0A0A0A0A-1111-4111-8111-111111111111"
OTHER = "0B0B0B0B-1111-4111-8111-111111111111"
SETTLE = ("udevadm", "settle", "--timeout=30")
PVS = (
    *("lvm", "pvs", "--reportformat", "json", "--units", "b", "--nosuffix"),
    *("--options", "pv_name,vg_name,pv_size,pe_start,pv_pe_count"),
)


class Host(Tree):
    def __init__(self, root):
        super().__init__(root)
        self.disk("vda")
        write_mbr(root / "dev/vda", [(0x83, 2048, 1000), (0x8E, 4096, 1000)])
        self.partition("vda", 1, 1 << 20, 1 << 20)
        self.partition("vda", 2, 2 << 20, 1 << 20)
        self.disk("vdb", bus="pci0000:00/0000:00:09.0/virtio9")
        self.volumes = []
        self.signed = {"/dev/vda1", "/dev/vda2"}
        self.runner = FakeRunner(handler=self.handle)

    def handle(self, argv, _stdin):
        if argv == PVS:
            rows = [
                {"pv_name": node, "vg_name": group, "pv_size": "1", "pe_start": "1", "pv_pe_count": "1"}
                for node, group in self.volumes
            ]
            return {"report": [{"pv": rows}]}
        if argv[:2] == ("wipefs", "--noheadings"):
            return "0x438 ext4\n" if argv[2] in self.signed else ""
        if argv[0] == "wipefs":
            self.signed.discard(argv[-1])
        return None

    def tear_down(self):
        self.runner.calls.clear()
        done = tear_down(self.runner, "/dev/vda", root=self.root)
        return done, [argv for argv in self.runner.calls if argv != PVS and argv[1] != "--noheadings"]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_plain_partitions(host):
    done, calls = host.tear_down()
    assert done == ["wiped the signatures of /dev/vda1", "wiped the signatures of /dev/vda2"]
    assert calls == [
        ("wipefs", "--all", "--force", "/dev/vda1"),
        ("wipefs", "--all", "--force", "/dev/vda2"),
        SETTLE,
    ]
    assert host.tear_down() == ([], [])


def test_a_partition_to_keep_keeps_its_signature(host):
    kept = gpt.GptEntry(1, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", ESP, 2048, 4095, 0, "esp")
    table = gpt.Gpt(
        "11111111-1111-4111-8111-111111111111",
        (kept, replace(kept, number=2, uuid=OTHER, first_lba=4096, last_lba=5000)),
    )
    write_gpt(host.root / "dev/vda", table)
    assert tear_down(host.runner, "/dev/vda", keep=[ESP.lower()], root=host.root) == [
        "wiped the signatures of /dev/vda2"
    ]
    assert host.signed == {"/dev/vda1"}


def test_a_place_to_keep_keeps_its_signature_in_a_table_without_uuids(host):
    done = tear_down(host.runner, "/dev/vda", keep_at=(2048 * 512,), root=host.root)
    assert done == ["wiped the signatures of /dev/vda2"]
    assert host.signed == {"/dev/vda1"}


def test_a_partition_of_a_stale_gpt_is_not_wiped(host):
    """A start from the lifeboat is told ``gpt``, and the disk still has its MBR."""
    host.write("sys/block/vda/vda2/start", f"{(7 << 20) // 512}\n")
    done, _calls = host.tear_down()
    assert done == ["wiped the signatures of /dev/vda1"]


def test_a_volume_group(host):
    host.volumes = [("/dev/vda2", "old"), ("/dev/vdb", "other"), ("/dev/vdz1", "")]
    _done, calls = host.tear_down()
    assert calls[0] == ("lvm", "vgchange", "--activate", "n", "old")
    assert ("wipefs", "--all", "--force", "/dev/vda2") in calls
    assert not any("other" in argv or "/dev/vdb" in argv for argv in calls)


def test_encryption_is_removed_from_the_top(host):
    host.stacked("dm-0", ["vda2"], "secret", "CRYPT-LUKS2-x")
    host.stacked("dm-1", ["dm-0"], "inner", "other-x")
    done, calls = host.tear_down()
    assert done[:2] == ["removed mapped device inner", "removed mapped device secret"]
    assert calls[:2] == [("dmsetup", "remove", "--retry", "inner"), ("dmsetup", "remove", "--retry", "secret")]


def test_an_array_is_stopped_by_the_kernel(host):
    host.stacked("md0", ["vda1"])
    host.write("sys/devices/virtual/block/md0/md/array_state", "clean\n")
    done, _calls = host.tear_down()
    assert done[0] == "stopped array md0"
    assert (host.root / "sys/block/md0/md/array_state").read_text() == "clear\n"


def fault_of(host):
    with pytest.raises(Fault) as raised:
        host.tear_down()
    assert all(argv == PVS for argv in host.runner.calls)
    return raised.value


def test_a_group_that_spans_disks_is_left_alone(host):
    host.volumes = [("/dev/vda2", "old"), ("/dev/vdb", "old")]
    fault = fault_of(host)
    assert fault.id == "disk.spans_disks"
    assert "Volume group old of the planned disk /dev/vda also lives on /dev/vdb" in fault.what


def test_an_array_that_spans_disks_is_left_alone(host):
    host.stacked("md0", ["vda1", "vdb"])
    assert "Device md0" in fault_of(host).what


def test_a_disk_in_use_is_left_alone(host):
    host.mount("vda1", "/")
    assert fault_of(host).id == "disk.in_use"


def test_a_disk_without_table_is_wiped_itself(host):
    host.signed = {"/dev/vdb"}
    done = tear_down(host.runner, "/dev/vdb", root=host.root)
    assert done == ["wiped the signatures of /dev/vdb"]


def test_what_would_stop_it_is_known_ahead(host):
    host.volumes = [("/dev/vda2", "VA"), ("/dev/vdb", "other")]
    check(host.runner, "/dev/vda", ["VA", "VB"], root=host.root)
    assert host.runner.calls == [PVS]


@pytest.mark.parametrize(
    ("volumes", "fault"),
    [
        ([("/dev/vdb", "VB")], "volumes.group_name_taken"),
        ([("[unknown]", "VA")], "volumes.group_name_taken"),
        ([("/dev/vda2", "old"), ("/dev/vdb", "old")], "disk.spans_disks"),
    ],
)
def test_a_group_that_would_be_in_the_way_is_known_ahead(host, volumes, fault):
    host.volumes = volumes
    with pytest.raises(Fault) as raised:
        check(host.runner, "/dev/vda", ["VA", "VB"], root=host.root)
    assert raised.value.id == fault
    assert host.runner.calls == [PVS]
