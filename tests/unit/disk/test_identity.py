# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The planned disk is found under any name, and any doubt is a fault."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import identity, marks, table
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support import layouts
from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree, write_gpt, write_mbr

GIB = 1 << 30
ROOT_UUID = "0a3407de-014b-458b-b5c1-848e92a327a3"
PLANNED = {
    "serial": "LAB0001",
    "wwn": "",
    "size_bytes": 8 * GIB,
    "sector_bytes": 512,
    "table": "dos",
    "table_id": "5d2f3a1b",
    "root_uuid": ROOT_UUID,
    "name": "/dev/vda",
}


class Host(Tree):
    """Disks with an MBR and one ext4 partition each; ``uuids`` is what blkid finds."""

    def __init__(self, root):
        super().__init__(root)
        self.uuids = {}
        self.kinds = {}
        self.runner = FakeRunner(handler=self.handle)

    def add(self, name="vda", serial="LAB0001", table_id=0x5D2F3A1B, uuid=ROOT_UUID, kind="ext4", size=8 * GIB):
        slot = len(self.uuids) + 4
        self.disk(name, size_bytes=size, bus=f"pci0000:00/0000:00:{slot:02x}.0/virtio{slot}", serial=serial)
        write_mbr(self.root / "dev" / name, [(0x83, 2048, 1000000)], table_id)
        self.uuids[f"/dev/{name}1"], self.kinds[f"/dev/{name}1"] = uuid, kind

    def handle(self, argv, _stdin):
        assert argv[:4] == ("blkid", "-p", "-o", "export")
        node = argv[4]
        return f"DEVNAME={node}\nUUID={self.uuids.get(node, '')}\nTYPE={self.kinds.get(node, '')}\n"

    def find(self, new_disk_guid="", **changes):
        return identity.find(self.runner, {**PLANNED, **changes}, new_disk_guid=new_disk_guid, root=self.root)


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def fault_of(host, **changes):
    with pytest.raises(Fault) as raised:
        host.find(**changes)
    return raised.value


def test_under_its_own_name(host):
    host.add()
    assert host.find() == "/dev/vda"


def test_under_another_name_beside_others(host):
    host.add("vda", "LAB0002", 1, "other")
    host.add("sdb")
    assert host.find() == "/dev/sdb"


def test_without_a_serial_number_table_and_root_decide(host):
    host.add(serial="")
    host.add("vdb", "", 7, "other")
    assert host.find(serial="") == "/dev/vda"
    assert host.find() == "/dev/vda"


def test_an_id_as_people_write_it(host):
    host.add()
    assert host.find(table_id="0x5D2F3A1B") == "/dev/vda"


def test_no_disk_at_all(host):
    fault = fault_of(host)
    assert fault.id == "disk.not_found"
    assert "no disk at all" in fault.record()["why"]


def test_another_disk_only(host):
    host.add("vda", "LAB0002", 1, "other")
    fault = fault_of(host)
    assert fault.id == "disk.not_found"
    assert "/dev/vda: serial, table_id, root_uuid differ" in fault.record()["why"]


@pytest.mark.parametrize("sectors", [-1, 1])
def test_one_sector_too_small_or_large(host, sectors):
    host.add(size=8 * GIB + sectors * 512)
    fault = fault_of(host)
    assert fault.id == "disk.in_doubt"
    assert "/dev/vda: size differ; serial, sector size, table_id, root_uuid agree" in fault.record()["why"]


def test_two_disks_that_match(host):
    host.add("vda", serial="")
    host.add("vdb", serial="")
    fault = fault_of(host, serial="")
    assert fault.id == "disk.in_doubt"
    assert "More than one disk is like it: /dev/vda" in fault.record()["why"]


def test_a_copy_with_another_serial_number_is_doubt(host):
    host.add("vda")
    host.add("vdb", serial="LAB0002")
    assert "another disk shares marks with it: /dev/vdb" in fault_of(host).record()["why"]


@pytest.mark.parametrize(
    "changes",
    [{"serial": "LAB0009"}, {"table_id": "11111111"}, {"root_uuid": "other"}, {"sector_bytes": 4096}],
)
def test_one_mark_that_differs_is_doubt(host, changes):
    host.add()
    assert fault_of(host, **changes).id == "disk.in_doubt"


def test_size_alone_is_never_enough(host):
    host.add(serial="", table_id=0, uuid="")
    assert fault_of(host, serial="", table_id="", root_uuid="").id == "disk.not_found"


def test_a_root_on_lvm_is_not_visible_and_says_nothing(host):
    host.add(uuid="", kind="LVM2_member")
    assert host.find() == "/dev/vda"


def test_a_disk_that_an_earlier_try_converted(host):
    resolved = layouts.resolved("va")
    host.add()
    write_gpt(host.root / "dev/vda", table.target(resolved, "convert"))
    assert fault_of(host).id == "disk.in_doubt"
    assert host.find(new_disk_guid=resolved.disk_guid) == "/dev/vda"


@pytest.mark.parametrize(
    ("text", "normal"),
    [("  WD-123   45 ", "WD-123 45"), ("None", ""), ("0", ""), ("", ""), ("S1\0", "S1\0")],
)
def test_serial_numbers_without_padding(text, normal):
    assert marks.normal_serial(text) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("0x5000C500A1B2C3D4", "5000c500a1b2c3d4"),
        ("naa.5000c500a1b2c3d4", "5000c500a1b2c3d4"),
        ("eui.0025388b710116a1", "0025388b710116a1"),
        ("t10.ATA     QEMU HARDDISK", ""),
    ],
)
def test_world_wide_names(text, normal):
    assert marks.normal_wwn(text) == normal


def test_serial_numbers_in_every_place(tmp_path):
    tree = Tree(tmp_path)
    tree.disk("sda", device__vpd_pg80=b"\x00\x80\x00\x08  QM0001", device__wwid="naa.5000c500a1b2c3d4\n")
    tree.udev("sda", ID_SERIAL_SHORT="QM0001", ID_WWN="0x5000c500a1b2c3d4", ID_SCSI_SERIAL="other")
    tree.disk("nvme0n1", bus="pci0000:00/0000:00:05.0/nvme/nvme0", device__serial="N1  \n", wwid="eui.00253\n")
    found = marks.marks("sda", tmp_path)
    assert (found.serials, found.wwns) == (("QM0001", "other"), ("5000c500a1b2c3d4",))
    found = marks.marks("nvme0n1", tmp_path)
    assert (found.serial, found.wwn) == ("N1", "00253")
