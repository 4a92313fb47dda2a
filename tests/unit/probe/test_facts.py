# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The facts of whole machines: a Debian 11 gateway, a CentOS 7 host on LVM, and odd ones."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import table
from ansible_collections.dualroot.migrate.plugins.module_utils.probe import bootloader, facts

from tests.support import layouts
from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree, write_gpt, write_mbr
from tests.unit.plan.documents import facts as documented_facts

ROOT_UUID = "0a3407de-014b-458b-b5c1-848e92a327a3"
GIB = 1 << 30
PCI = "pci0000:00/0000:00:04.0"

GRUB_CONFIG = """
if [ -s $prefix/grubenv ]; then load_env; fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
fi
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
fi
"""
GRUB_ENVIRONMENT = ("# GRUB Environment Block\nnext_entry=dualroot-convert\n").ljust(1024, "#")


class Host(Tree):
    """One virtio disk with an MBR and one ext4 root, like a gateway of 2018."""

    def __init__(self, root):
        super().__init__(root)
        self.signatures = {"/dev/vda1": f"UUID={ROOT_UUID}\nTYPE=ext4\nLABEL=ro\\ ot\n"}
        self.disk("vda", bus=f"{PCI}/virtio1", serial="LAB0815-0", queue__rotational="1\n")
        self.bound(PCI, "virtio-pci", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00")
        self.bound(f"{PCI}/virtio1", "virtio_blk", "virtio:d00000002v00001AF4")
        write_mbr(root / "dev/vda", [(0x83, 2048, 16775168)])
        self.partition("vda", 1, 2048 * 512, 16775168 * 512)
        self.mount("vda1", "/", options="rw,relatime,errors=remount-ro")
        self.link("dev/disk/by-id/virtio-LAB0815-0", "dev/vda")
        nic = "pci0000:00/0000:00:03.0"
        self.bound(nic, "virtio-pci", "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00")
        self.interface("ens3", "52:54:00:12:34:56", f"{nic}/virtio0", "virtio_net", "virtio:d00000001v00001AF4")
        self.interface("br0", "52:54:00:12:34:99")
        self.write("sys/class/net/bonding_masters", "")
        self.write("proc/meminfo", "MemTotal:        2097152 kB\nMemAvailable:    1843200 kB\n")
        self.write("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor\nprocessor : 1\n")
        self.write("proc/sys/kernel/hostname", "gw-0815\n")
        self.write("proc/sys/kernel/osrelease", "5.10.0-32-cloud-amd64\n")
        self.write("proc/sys/kernel/random/boot_id", "cf5a5c0e-3a2e-4c1f-8f3e-0d9f6c4b2a10\n")
        self.write("proc/cmdline", "root=UUID=x console=ttyS0\n")
        self.write("etc/machine-id", "5f1b2c3d4e5f60718293a4b5c6d7e8f9\n")
        self.write("etc/os-release", 'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n')
        self.write("sys/class/dmi/id/sys_vendor", "QEMU\n")
        (root / "run/systemd/system").mkdir(parents=True)
        self.write("etc/fstab", f"# root\nUUID={ROOT_UUID} / ext4 errors=remount-ro 0 1\n")
        self.write("boot/vmlinuz-5.10.0-32-cloud-amd64", "kernel")
        self.write("boot/initrd.img-5.10.0-32-cloud-amd64", "initrd")
        self.write("boot/grub/grub.cfg", GRUB_CONFIG)
        self.write("boot/grub/grubenv", GRUB_ENVIRONMENT)
        self.write("usr/sbin/grub-reboot", "")
        self.write("usr/bin/grub-editenv", "")
        self.volumes = '{"report": []}'
        self.runner = FakeRunner(handler=self.handle)

    def handle(self, argv, _stdin):
        if argv[:2] == ("lvm", "pvs"):
            return self.volumes
        assert argv[:4] == ("blkid", "-p", "-o", "export")
        return self.signatures.get(argv[4], "")

    def facts(self):
        return facts.read_facts(self.runner, self.root, permanent=lambda name: "52:54:00:AA:BB:CC")


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def shape(value):
    """Return the keys of a document, however deep, with lists reduced to their first item."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def test_the_document_has_the_keys_that_preflight_reads(host, monkeypatch):
    monkeypatch.setattr(facts, "read_room", lambda *_arguments: room_of_a_gateway())
    found = host.facts()
    assert json.loads(json.dumps(found)) == found
    assert shape(found) == shape(documented_facts())


def room_of_a_gateway():
    area = {"kind": "file", "start": 1 << 30, "length": 1 << 30, "node": "/dev/vda1"}
    return {"areas": [area], "budget_bytes": 1 << 30, "held_bytes": 0, "doubt": ""}


def test_a_root_whose_blocks_cannot_be_read_is_said_and_stops_nothing(host):
    found = host.facts()
    assert (found["lifeboat_areas"], found["lifeboat_budget_bytes"]) == ([], 0)
    assert "no ext4 super block" in found["lifeboat_doubt"]


def test_a_gateway_on_one_root(host):
    found = host.facts()
    assert found["system_disk"] == "/dev/vda"
    assert found["system_disk_doubt"] == ""
    assert found["root"]["uuid"] == ROOT_UUID
    assert found["root"]["stack"] == ["part"]
    assert found["root"]["disk"] == "/dev/vda"
    assert found["boot"] == {**found["boot"], "mount": "/", "prefix": "/boot", "device": "/dev/vda1"}
    assert (found["hostname"], found["init"], found["virtualization"]) == ("gw-0815", "systemd", "qemu")
    assert found["os"] == {"id": "debian", "version_id": "11", "pretty_name": "Debian GNU/Linux 11 (bullseye)"}
    assert (found["memory_bytes"], found["memory_available_bytes"], found["cpus"]) == (2 * GIB, 1843200 << 10, 2)
    assert (found["firmware"], found["secure_boot"], found["lockdown"]) == ("bios", False, "none")


def test_its_disk(host):
    [disk] = host.facts()["disks"]
    assert disk == {
        "name": "/dev/vda",
        "by_id": ["/dev/disk/by-id/virtio-LAB0815-0"],
        "serial": "LAB0815-0",
        "wwn": "",
        "model": "",
        "transport": "virtio",
        "size_bytes": 8 * GIB,
        "logical_sector_bytes": 512,
        "physical_sector_bytes": 0,
        "readonly": False,
        "removable": False,
        "rotational": True,
        "table": "dos",
        "table_id": "5d2f3a1b",
        "partitions": [
            {
                "node": "/dev/vda1",
                "number": 1,
                "start_lba": 2048,
                "sectors": 16775168,
                "type": "0x83",
                "uuid": "5d2f3a1b-01",
                "name": "",
                "attributes": "0x80",
                "fstype": "ext4",
                "fs_uuid": ROOT_UUID,
                "fs_label": "ro ot",
                "mounts": ["/"],
                "holders": [],
            }
        ],
    }


def test_its_interfaces_and_the_drivers_on_the_way(host):
    found = host.facts()
    assert found["interfaces"] == [
        {
            "name": "br0",
            "mac": "52:54:00:12:34:99",
            "permanent_mac": "",
            "driver": "",
            "operstate": "up",
            "modalias": "",
        },
        {
            "name": "ens3",
            "mac": "52:54:00:12:34:56",
            "permanent_mac": "52:54:00:aa:bb:cc",
            "driver": "virtio_net",
            "operstate": "up",
            "modalias": "virtio:d00000001v00001AF4",
        },
    ]
    assert [(one["device"], one["kind"], one["driver"]) for one in found["modaliases"]] == [
        ("vda", "disk", "virtio_blk"),
        ("0000:00:04.0", "disk", "virtio-pci"),
        ("ens3", "nic", "virtio_net"),
        ("0000:00:03.0", "nic", "virtio-pci"),
    ]


def test_bridges_of_every_kernel_are_no_question(host):
    host.bound("pci0000:00", "pcieport", "pci:v00001B36d0000000C")
    assert "pcieport" not in [one["driver"] for one in host.facts()["modaliases"]]


def test_its_boot_loader(host):
    assert host.facts()["bootloader"] == {
        "kind": "grub2",
        "directory": "/boot/grub",
        "config": "/boot/grub/grub.cfg",
        "environment": "/boot/grub/grubenv",
        "reboot_tool": "grub-reboot",
        "editenv_tool": "grub-editenv",
        "grubby": None,
        "reads_custom_cfg": True,
        "handles_next_entry": True,
        "environment_writable_by_grub": True,
        "environment_doubt": "",
        "next_entry": "dualroot-convert",
    }


def centos(root):
    """Root on LVM, /boot on XFS, GRUB in /boot/grub2, a kernel that lacks MemAvailable."""
    host = Host(root)
    host.disk("sda", bus="pci0000:00/0000:00:07.0/ata1/host0/target0:0:0/0:0:0:0", device__model="QEMU  HARDDISK ")
    write_mbr(root / "dev/sda", [(0x83, 2048, 2097152), (0x8E, 2099200, 14677983)], 0x000A1B2C)
    host.partition("sda", 1, 2048 * 512, GIB)
    host.partition("sda", 2, 2099200 * 512, 7 * GIB)
    host.volume("dm-0", ["sda2"], "centos", "root")
    host.signatures.update(
        {
            "/dev/sda1": "UUID=boot-uuid\nTYPE=xfs\n",
            "/dev/sda2": "UUID=pv\nTYPE=LVM2_member\n",
            "/dev/mapper/centos-root": "UUID=root-uuid\nTYPE=xfs\n",
        }
    )
    host._mounts.clear()
    host.mount("dm-0", "/", "xfs")
    host.mount("sda1", "/boot", "xfs")
    host.write("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 300 kB\nCached: 200 kB\nShmem: 50 kB\n")
    host.write("boot/grub2/grub.cfg", GRUB_CONFIG)
    host.write("boot/grub2/grubenv", GRUB_ENVIRONMENT)
    host.write("usr/sbin/grub2-reboot", "")
    host.write("usr/sbin/grubby", "")
    return host


def test_a_host_on_lvm(tmp_path):
    found = centos(tmp_path).facts()
    assert found["root"]["device"] == "/dev/mapper/centos-root"
    assert found["root"]["stack"] == ["lvm", "part"]
    assert found["boot"] == {**found["boot"], "mount": "/boot", "prefix": "", "stack": ["part"]}
    assert found["system_disk"] == "/dev/sda"
    assert found["memory_available_bytes"] == 450 << 10
    disk = found["disks"][0]
    assert (disk["name"], disk["model"], disk["transport"]) == ("/dev/sda", "QEMU HARDDISK", "ata")
    assert disk["partitions"][1]["holders"] == ["lvm: centos"]
    loader = found["bootloader"]
    assert (loader["directory"], loader["reboot_tool"], loader["grubby"]) == (
        "/boot/grub2",
        "grub2-reboot",
        "/usr/sbin/grubby",
    )
    assert loader["environment_writable_by_grub"]


def doubt_of(host):
    found = host.facts()
    assert found["system_disk"] is None
    return found["system_disk_doubt"]


def test_doubt_about_a_copy(host):
    host.disk("vdb", bus="pci0000:00/0000:00:09.0/virtio9", serial="LAB0815-1")
    write_mbr(host.root / "dev/vdb", [(0x83, 2048, 16775168)])
    host.partition("vdb", 1, 2048 * 512, 16775168 * 512)
    host.signatures["/dev/vdb1"] = host.signatures["/dev/vda1"]
    assert doubt_of(host) == ("/dev/vdb has the same partition table id and root file system UUID as /dev/vda")


def test_room_is_looked_for_on_the_disk_of_the_root_also_in_doubt(host, monkeypatch):
    monkeypatch.setattr(facts, "read_room", lambda _runner, disk, *_rest: {"areas": [disk["name"]], "doubt": ""})
    write_mbr(host.root / host.disk("vdb", bus="pci0000:00/0000:00:07.0/virtio9")[1:], [(0x83, 2048, 16775168)])
    found = host.facts()
    assert found["system_disk"] is None
    assert found["lifeboat_areas"] == ["/dev/vda"]


def test_doubt_about_a_root_on_two_disks(host):
    host.disk("vdb", bus="pci0000:00/0000:00:09.0/virtio9")
    host.stacked("md0", ["vda1", "vdb"])
    host._mounts.clear()
    host.mount("md0", "/")
    assert doubt_of(host) == "the root file system lies on several disks: /dev/vda, /dev/vdb"


def test_doubt_about_a_root_on_no_disk(host):
    host.write("proc/self/mountinfo", "30 1 0:30 / / rw - tmpfs tmpfs rw\n")
    assert doubt_of(host) == "the root file system lies on no disk that was found"


def test_a_second_disk_that_is_different_is_no_doubt(host):
    host.disk("vdb", bus="pci0000:00/0000:00:09.0/virtio9", serial="LAB0815-1", ro="1\n", removable="1\n")
    write_gpt(host.root / "dev/vdb", table.target(layouts.resolved("va"), "convert"))
    found = host.facts()
    assert found["system_disk"] == "/dev/vda"
    disk = found["disks"][1]
    assert (disk["table"], disk["readonly"], disk["removable"]) == ("gpt", True, True)
    assert [part["name"] for part in disk["partitions"]] == ["bios", "dispatch", "VA"]
    assert disk["partitions"][0]["fstype"] == ""


def test_volume_groups_are_told_with_their_disks(host):
    host.disk("vdb", serial="LAB0002")
    write_mbr(host.root / "dev/vdb", [(0x8E, 2048, 4096)])
    host.partition("vdb", 1, 2048 * 512, 4096 * 512)
    host.signatures["/dev/vdb1"] = "UUID=pv\nTYPE=LVM2_member\n"
    row = {"pv_name": "/dev/vdb1", "vg_name": "VA", "pv_size": "9", "pe_start": "1", "pv_pe_count": "1"}
    alone = {**row, "pv_name": "/dev/vdb2", "vg_name": ""}
    gone = {**row, "pv_name": "[unknown]", "vg_name": "OLD"}
    host.volumes = json.dumps({"report": [{"pv": [row, alone, gone]}]})
    assert host.facts()["volume_groups"] == [{"name": "OLD", "disks": []}, {"name": "VA", "disks": ["/dev/vdb"]}]


def test_volume_groups_of_a_host_without_lvm(host, monkeypatch):
    assert host.facts()["volume_groups"] == []
    host.signatures["/dev/vda1"] = "UUID=pv\nTYPE=LVM2_member\n"
    host.volumes = "no JSON"
    assert host.facts()["volume_groups"] == []


def test_a_disk_that_cannot_be_read(host):
    host.disk("sdc", bus="usb/1")
    (host.root / "dev/sdc").unlink()
    disk = host.facts()["disks"][0]
    assert (disk["name"], disk["table"], disk["partitions"]) == ("/dev/sdc", "other", [])


def test_uefi_with_secure_boot_and_lockdown(host):
    variable = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    host.write(variable, b"\x06\x00\x00\x00\x01")
    host.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    found = host.facts()
    assert (found["firmware"], found["secure_boot"], found["lockdown"]) == ("uefi", True, "integrity")
    host.write(variable, b"\x06\x00\x00\x00\x00")
    assert host.facts()["secure_boot"] is False


def test_a_root_whose_source_is_a_name_of_the_kernel(host):
    host.write("proc/self/mountinfo", "30 1 252:2 / / rw shared:1 - ext4 /dev/root rw\n")
    assert host.facts()["root"]["device"] == "/dev/vda1"


def test_a_path_in_a_btrfs_subvolume(host):
    host.write("proc/self/mountinfo", "30 1 0:25 /@ / rw shared:1 - btrfs /dev/vda1 rw,subvol=/@\n")
    found = host.facts()
    assert found["boot"]["prefix"] == "/@/boot"
    assert found["root"]["stack"] == ["part"]
    assert "btrfs, where GRUB cannot write" in found["bootloader"]["environment_doubt"]


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (lambda h: (h.root / "boot/grub/grubenv").unlink(), "does not exist"),
        (lambda h: h.write("boot/grub/grubenv", "x"), "is no environment block of 1024 bytes"),
    ],
)
def test_environments_that_cannot_be_trusted(host, change, doubt):
    change(host)
    found = host.facts()["bootloader"]
    assert not found["environment_writable_by_grub"]
    assert doubt in found["environment_doubt"]


def test_an_environment_on_lvm(host):
    host.volume("dm-0", ["vda1"], "VG", "root")
    host._mounts.clear()
    host.mount("dm-0", "/")
    assert "lies on lvm on part, where GRUB cannot write" in host.facts()["bootloader"]["environment_doubt"]


def test_grub_legacy_and_none(host):
    (host.root / "boot/grub/grub.cfg").unlink()
    assert bootloader.read_bootloader(host.runner, host.root)["kind"] == "none"
    host.write("boot/grub/menu.lst", "")
    found = bootloader.read_bootloader(host.runner, host.root)
    assert (found["kind"], found["config"]) == ("grub-legacy", "/boot/grub/menu.lst")


def test_old_init_and_containers(host):
    (host.root / "run/systemd/system").rmdir()
    host.write("proc/1/comm", "init\n")
    host.write("run/.containerenv", "")
    found = host.facts()
    assert (found["init"], found["virtualization"]) == ("sysvinit", "container")
