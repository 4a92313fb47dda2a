# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole documents of a host and a bundle for the tests of plan and report; each call is a fresh copy."""

from __future__ import annotations

from typing import Any

MIB = 1 << 20
GIB = 1 << 30

ROOT_UUID = "0a3407de-014b-458b-b5c1-848e92a327a3"


def facts() -> dict[str, Any]:
    """Debian 11 gateway of the lab: MBR, one ext4 root, BIOS, virtio, static address."""
    return {
        "hostname": "gate1",
        "machine_id": "5f1b2c3d4e5f60718293a4b5c6d7e8f9",
        "boot_id": "cf5a5c0e-3a2e-4c1f-8f3e-0d9f6c4b2a10",
        "architecture": "x86_64",
        "kernel": "5.10.0-32-cloud-amd64",
        "os": {"id": "debian", "version_id": "11", "pretty_name": "Debian GNU/Linux 11 (bullseye)"},
        "init": "systemd",
        "python": {"executable": "/usr/bin/python3.9", "version": "3.9.2"},
        "is_root": True,
        "virtualization": "kvm",
        "cpus": 2,
        "firmware": "bios",
        "efi": None,
        "esp": None,
        "secure_boot": False,
        "lockdown": "none",
        "cmdline": "BOOT_IMAGE=/boot/vmlinuz root=UUID=" + ROOT_UUID + " ro console=tty0 console=ttyS0,115200",
        "memory_bytes": 2 * GIB,
        "memory_available_bytes": 1800 * MIB,
        "swap_devices": [],
        "root": {
            "device": "/dev/vda1",
            "disk": "/dev/vda",
            "fstype": "ext4",
            "uuid": ROOT_UUID,
            "mount_options": "rw,relatime,errors=remount-ro",
            "size_bytes": 8 * GIB,
            "free_bytes": 6 * GIB,
            "stack": ["part"],
        },
        "boot": {
            "mount": "/",
            "device": "/dev/vda1",
            "fstype": "ext4",
            "uuid": ROOT_UUID,
            "free_bytes": 6 * GIB,
            "prefix": "/boot",
            "stack": ["part"],
        },
        "mounts": [
            {"target": "/", "device": "/dev/vda1", "fstype": "ext4", "options": "rw,relatime"},
            {"target": "/run", "device": "tmpfs", "fstype": "tmpfs", "options": "rw"},
        ],
        "volume_groups": [],
        "disks": [
            {
                "name": "/dev/vda",
                "by_id": ["/dev/disk/by-id/virtio-LAB0001"],
                "serial": "LAB0001",
                "wwn": "",
                "model": "",
                "transport": "virtio",
                "size_bytes": 8 * GIB,
                "logical_sector_bytes": 512,
                "physical_sector_bytes": 512,
                "readonly": False,
                "removable": False,
                "rotational": True,
                "table": "dos",
                "table_id": "0x5d2f3a1b",
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
                        "fs_label": "",
                        "mounts": ["/"],
                        "holders": [],
                    }
                ],
            }
        ],
        "system_disk": "/dev/vda",
        "system_disk_doubt": "",
        "lifeboat_areas": [
            {"kind": "file", "start": 1536 * MIB, "length": 6144 * MIB, "node": "/dev/vda1"},
        ],
        "lifeboat_budget_bytes": 5600 * MIB,
        "lifeboat_held_bytes": 544 * MIB,
        "lifeboat_doubt": "",
        "rehearsals": [],
        "interfaces": [
            {
                "name": "ens3",
                "mac": "52:54:00:12:34:56",
                "permanent_mac": "52:54:00:12:34:56",
                "driver": "virtio_net",
                "operstate": "up",
                "modalias": "virtio:d00000001v00001AF4",
            }
        ],
        "modaliases": [
            {
                "device": "vda",
                "kind": "disk",
                "modalias": "virtio:d00000002v00001AF4",
                "driver": "virtio_blk",
            },
            {
                "device": "0000:00:04.0",
                "kind": "disk",
                "modalias": "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
                "driver": "virtio-pci",
            },
            {
                "device": "ens3",
                "kind": "nic",
                "modalias": "virtio:d00000001v00001AF4",
                "driver": "virtio_net",
            },
        ],
        "old_system": {
            "kernel": "/boot/vmlinuz-5.10.0-32-cloud-amd64",
            "initrd": "/boot/initrd.img-5.10.0-32-cloud-amd64",
            "arguments": ["root=UUID=" + ROOT_UUID, "ro", "console=tty0", "console=ttyS0,115200"],
            "fstab": [{"spec": "UUID=" + ROOT_UUID, "target": "/", "options": "errors=remount-ro"}],
            "run_id": "",
            "doubt": "",
        },
        "bootloader": {
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
            "next_entry": "",
        },
    }


def data_disk(**changes: Any) -> dict[str, Any]:
    """A second, empty disk of the same host."""
    disk = {
        "name": "/dev/vdb",
        "by_id": ["/dev/disk/by-id/virtio-LAB0002"],
        "serial": "LAB0002",
        "wwn": "",
        "model": "",
        "transport": "virtio",
        "size_bytes": 4 * GIB,
        "logical_sector_bytes": 512,
        "physical_sector_bytes": 512,
        "readonly": False,
        "removable": False,
        "rotational": True,
        "table": "none",
        "table_id": "",
        "partitions": [],
    }
    return {**disk, **changes}


def partition(**changes: Any) -> dict[str, Any]:
    """A second partition on the system disk."""
    part = {
        "node": "/dev/vda2",
        "number": 2,
        "start_lba": 12582912,
        "sectors": 2097152,
        "type": "0x83",
        "uuid": "5d2f3a1b-02",
        "name": "",
        "attributes": "0x00",
        "fstype": "ext4",
        "fs_uuid": "7d9e2c55-9c6e-4a6b-8f6a-1b1b1b1b1b1b",
        "fs_label": "",
        "mounts": [],
        "holders": [],
    }
    return {**part, **changes}


def manifest() -> dict[str, Any]:
    """A bundle with a Debian 13 payload."""
    file = {"sha256": "c" * 64}
    return {
        "format": 1,
        "name": "gateway",
        "version": "13.1",
        "architecture": "x86_64",
        "environment": {
            "kernel": {**file, "file": "vmlinuz", "size": 8 * MIB},
            "initrd": {**file, "file": "initrd.img", "size": 50 * MIB},
            "modaliases": {**file, "file": "modaliases.json", "size": 800000},
            "interpreter": {**file, "file": "interpreter.tar.gz", "size": 12 * MIB},
            "kernel_release": "6.12.48+deb13-cloud-amd64",
            "unpacked_bytes": 130 * MIB,
        },
        "payload": {
            "file": "rootfs.tar.zst",
            "sha256": "d" * 64,
            "size": 180 * MIB,
            "compression": "zstd",
            "unpacked_bytes": 600 * MIB,
            "entries": 21000,
            "os": {"id": "debian", "version_id": "13", "pretty_name": "Debian GNU/Linux 13 (trixie)"},
            "network_renderer": "networkd",
            "kernel_release": "6.12.48+deb13-cloud-amd64",
        },
        "layouts": {"va": {"file": "layouts/va.json", "sha256": "e" * 64, "size": 1200}},
        "layout": "va",
    }


def options(**changes: Any) -> dict[str, Any]:
    """Options of the run as the role passes them, for a conversion without anything special."""
    values = {
        "run_id": "20261120T191500Z-1a2b3c",
        "host": "gate1",
        "now": 1795201200,
        "mode": "convert",
        "lifeboat": "none",
        "login_user": "admin",
        "manifest_sha256": "f" * 64,
        "signed_by": "b" * 64,
        "reached_at": "10.0.2.15",
    }
    return {**values, **changes}


def layout() -> dict[str, Any]:
    """A small layout in the shape of ``va``."""
    return {
        "name": "small",
        "version": 1,
        "table": "gpt",
        "partitions": [
            {"id": "bios", "type": "bios_boot", "size": "2 MiB", "name": "bios"},
            {"id": "dispatch", "type": "linux", "size": "1 GiB", "name": "dispatch"},
            {"id": "pv_a", "type": "lvm", "size": "50%", "name": "pv-a"},
            {"id": "pv_b", "type": "lvm", "size": "rest", "name": "pv-b", "at": "commit"},
        ],
        "volume_groups": [
            {
                "id": "va",
                "name": "VA",
                "partitions": ["pv_a"],
                "volumes": [
                    {"id": "image", "name": "image", "size": "256 MiB"},
                    {"id": "root_a", "name": "root", "size": "rest"},
                ],
            },
            {
                "id": "vb",
                "name": "VB",
                "partitions": ["pv_b"],
                "at": "commit",
                "volumes": [{"id": "root_b", "name": "root", "size": "rest"}],
            },
        ],
        "file_systems": [
            {
                "on": "dispatch",
                "kind": "ext4",
                "label": "dispatch",
                "mount": "/boot/dispatch",
                "options": "ro",
            },
            {"on": "image", "kind": "ext4", "label": "image", "mount": "/image"},
            {"on": "root_a", "kind": "ext4", "label": "root-a", "mount": "/"},
            {"on": "root_b", "kind": "ext4", "label": "root-b", "mount": "/", "at": "commit"},
        ],
        "slots": {"a": {"root": "root_a"}, "b": {"root": "root_b"}},
        "dispatch": "dispatch",
    }


def capture() -> dict[str, Any]:
    """The redacted capture, as far as the checks look at it."""
    return {
        "version": 1,
        "hostname": "gate1",
        "network": {
            "interfaces": [
                {
                    "name": "ens3",
                    "mac": "52:54:00:12:34:56",
                    "kind": "ethernet",
                    "dhcp4": False,
                    "dhcp6": False,
                    "addresses": ["10.0.2.15/24", "2001:db8::15/64"],
                    "routes": [{"to": "0.0.0.0/0", "via": "10.0.2.2"}],
                }
            ]
        },
        "accounts": {
            "users": [
                {"name": "root", "uid": 0, "home": "/root", "has_password": False},
                {"name": "admin", "uid": 1000, "home": "/home/admin", "has_password": True},
            ],
            "authorized_keys": [{"path": "/home/admin/.ssh/authorized_keys", "user": "admin"}],
        },
        "console_arguments": ["console=tty0", "console=ttyS0,115200"],
    }


#: What the convert kernel answers to, as far as the fixture host needs it.
MODALIASES = [
    "virtio:d00000001v*",
    "virtio:d00000002v*",
    "pci:v00008086d*sv*sd*bc*sc*i*",
    "builtin:virtio_pci",
    "usb:v0001p0001*",
]


def uefi(scene_facts: dict[str, Any]) -> None:
    """Make facts those of a host that UEFI starts from an EFI system partition before its root."""
    disk = scene_facts["disks"][0]
    root = {**disk["partitions"][0], "node": "/dev/vda2", "number": 2, "start_lba": 1050624, "sectors": 15724544}
    esp = {
        **partition(fstype="vfat", mounts=["/boot/efi"]),
        "node": "/dev/vda1",
        "number": 1,
        "start_lba": 2048,
        "sectors": 1048576,
        "type": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
        "uuid": "117fb78b-1752-4435-8183-3190600910b6",
        "fs_uuid": "8FDA-A740",
    }
    disk.update(table="gpt", table_id="65483a41-17c6-4264-a4e3-1dc507e135b4", partitions=[esp, root])
    scene_facts["root"]["device"] = scene_facts["boot"]["device"] = "/dev/vda2"
    scene_facts["firmware"] = "uefi"
    entry = {"number": "0001", "label": "debian", "active": True, "partuuid": esp["uuid"]}
    scene_facts["efi"] = {
        "bits": 64,
        "variables": True,
        "free_bytes": None,
        "boot_current": "0001",
        "boot_order": ["0001", "0000"],
        "entries": [{**entry, "loader": "\\EFI\\debian\\grubx64.efi"}],
    }
    scene_facts["esp"] = {
        "node": "/dev/vda1",
        "disk": "/dev/vda",
        "table": "gpt",
        "number": 1,
        "start": 1 << 20,
        "length": 512 << 20,
        "partuuid": esp["uuid"],
        "fstype": "vfat",
        "fs_uuid": "8FDA-A740",
        "label": "",
        "mounts": ["/boot/efi"],
        "free_bytes": 500 << 20,
    }
