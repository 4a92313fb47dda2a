# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds the parts of /sys, /proc, /dev and /run/udev that the engine reads, in a folder.

Names and contents follow what Linux 5.10 shows under QEMU; a disk's node is a sparse file that
tests can partition with ``write_gpt`` or ``write_mbr``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.disk import gpt, mbr
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.nodes import partition_node


class Tree:
    """A root folder with disks, stacked devices, mounts and interfaces."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._minor = 0
        self._mounts: list[str] = []
        for folder in ("dev", "sys/block", "sys/class/block", "sys/class/net", "sys/dev/block", "proc/self"):
            (root / folder).mkdir(parents=True)
        self.write("proc/self/mountinfo", "")
        self.write("proc/swaps", "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n")

    def write(self, path: str, content: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def link(self, path: str, target: str) -> None:
        """Make a link below the root to another path below the root."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(os.path.relpath(self.root / target, place.parent))

    def disk(
        self,
        name: str = "vda",
        size_bytes: int = 8 << 30,
        sector_bytes: int = 512,
        bus: str = "pci0000:00/0000:00:04.0/virtio1",
        **files: str | bytes,
    ) -> str:
        """Add a disk; ``files`` are files of its directory, with ``__`` for a slash. Returns its node."""
        directory = f"sys/devices/{bus}/block/{name}"
        self._device(name, directory, size_bytes)
        self.link(f"sys/block/{name}", directory)
        self.write(f"{directory}/queue/logical_block_size", f"{sector_bytes}\n")
        self.write(f"{directory}/ro", "0\n")
        for file, content in files.items():
            self.write(f"{directory}/{file.replace('__', '/')}", content)
        with (self.root / "dev" / name).open("wb") as stream:
            stream.truncate(size_bytes)
        return f"/dev/{name}"

    def partition(self, disk: str, number: int, start_bytes: int, size_bytes: int) -> str:
        """Let the kernel know a partition. Returns its node."""
        node = partition_node(f"/dev/{disk}", number)
        name = node[5:]
        directory = f"{os.path.relpath((self.root / 'sys/block' / disk).resolve(), self.root)}/{name}"
        self._device(name, directory, size_bytes)
        self.write(f"{directory}/partition", f"{number}\n")
        self.write(f"{directory}/start", f"{start_bytes // 512}\n")
        self.write(f"dev/{name}", "")
        return node

    def stacked(self, name: str, below: Sequence[str], dm_name: str = "", dm_uuid: str = "") -> str:
        """Add a device-mapper or md device that stands on others. Returns its node."""
        directory = f"sys/devices/virtual/block/{name}"
        self._device(name, directory, 1 << 30)
        self.link(f"sys/block/{name}", directory)
        if dm_name:
            self.write(f"{directory}/dm/name", f"{dm_name}\n")
            self.write(f"{directory}/dm/uuid", f"{dm_uuid}\n")
        self.write(f"dev/{name}", "")
        for one in below:
            self.link(f"{directory}/slaves/{one}", f"sys/class/block/{one}")
            self.link(f"sys/class/block/{one}/holders/{name}", directory)
        return f"/dev/{name}"

    def volume(self, name: str, below: Sequence[str], group: str, volume: str) -> str:
        """Add an active logical volume with its links. Returns /dev/GROUP/VOLUME."""
        mapped = f"{group.replace('-', '--')}-{volume.replace('-', '--')}"
        self.stacked(name, below, mapped, "LVM-" + "x" * 64)
        self.link(f"dev/{group}/{volume}", f"dev/{name}")
        self.link(f"dev/mapper/{mapped}", f"dev/{name}")
        return f"/dev/{group}/{volume}"

    def mount(
        self, name: str, target: str, fstype: str = "ext4", options: str = "rw,relatime", inside: str = "/"
    ) -> None:
        number = (self.root / f"sys/class/block/{name}/dev").read_text().strip()
        self._mounts.append(f"30 1 {number} {inside} {target} {options} shared:1 - {fstype} /dev/{name} rw")
        self.write("proc/self/mountinfo", "\n".join(self._mounts) + "\n")

    def swap(self, node: str) -> None:
        path = self.root / "proc/swaps"
        path.write_text(path.read_text() + f"{node} partition 1000 0 -2\n")

    def udev(self, name: str, **properties: str) -> None:
        number = (self.root / f"sys/class/block/{name}/dev").read_text().strip()
        self.write(f"run/udev/data/b{number}", "".join(f"E:{key}={value}\n" for key, value in properties.items()))

    def interface(self, name: str, mac: str, bus: str = "", driver: str = "virtio_net", modalias: str = "") -> None:
        directory = f"sys/devices/{bus}/net/{name}" if bus else f"sys/devices/virtual/net/{name}"
        self.write(f"{directory}/address", f"{mac}\n")
        self.write(f"{directory}/type", "1\n")
        self.write(f"{directory}/operstate", "up\n")
        if bus:
            self.bound(bus, driver, modalias)
            self.link(f"{directory}/device", f"sys/devices/{bus}")
        self.link(f"sys/class/net/{name}", directory)

    def bound(self, bus: str, driver: str, modalias: str) -> None:
        """Give a device directory a modalias and a driver."""
        self.write(f"sys/devices/{bus}/modalias", f"{modalias}\n")
        (self.root / "sys/bus/drivers" / driver).mkdir(parents=True, exist_ok=True)
        if not (self.root / f"sys/devices/{bus}/driver").is_symlink():
            self.link(f"sys/devices/{bus}/driver", f"sys/bus/drivers/{driver}")

    def _device(self, name: str, directory: str, size_bytes: int) -> None:
        self._minor += 1
        number = f"252:{self._minor}"
        self.write(f"{directory}/dev", f"{number}\n")
        self.write(f"{directory}/size", f"{size_bytes // 512}\n")
        (self.root / directory / "holders").mkdir()
        self.link(f"sys/class/block/{name}", directory)
        self.link(f"sys/dev/block/{number}", directory)


def write_gpt(path: Path, table: gpt.Gpt, sector_bytes: int = 512) -> None:
    """Write a GPT with both copies and a protective MBR into an image file."""
    sectors = path.stat().st_size // sector_bytes
    with path.open("r+b") as stream:
        stream.write(mbr.protective(sectors))
        for lba, data in gpt.serialise(table, sectors, sector_bytes).items():
            stream.seek(lba * sector_bytes)
            stream.write(data)


def write_mbr(path: Path, entries: Sequence[tuple[int, int, int]], disk_id: int = 0x5D2F3A1B) -> None:
    """Write an MBR with ``(type, first sector, sectors)`` of each primary partition."""
    sector = bytearray(512)
    struct.pack_into("<I", sector, 440, disk_id)
    for index, (kind, first, count) in enumerate(entries):
        struct.pack_into("<B3sB3sII", sector, 446 + 16 * index, 0x80 * (index == 0), b"", kind, b"", first, count)
    sector[510:] = b"\x55\xaa"
    with path.open("r+b") as stream:
        stream.write(sector)
