# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small old system on a disk image: table, root file system, files, real GRUB, a tiny kernel."""

from __future__ import annotations

import random
import struct
import uuid
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import grub_bios
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.boot import tiny_kernel

from . import filesystems
from .combos import DISK_BYTES, MIB, Combo

#: On the kernel line of the old system; the tiny kernel prints its kernel line on the serial port.
MARK = "dualroot-crash=OLD"
#: What belongs to the migration or changes at every start; all else must stay as it was, bit by bit.
OURS = ("boot/dualroot", "var/lib/dualroot", "boot/grub/grubenv", "boot/grub/custom.cfg")
EFI_DIRECTORY = Path("/usr/lib/grub/x86_64-efi")
#: FAT32 wants 65525 clusters of at least one sector.
ESP_BYTES = {512: 100 * MIB, 4096: 300 * MIB}

_GRUB_CONFIG = """\
serial --unit=0 --speed=115200
terminal_output serial
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
set timeout=0
menuentry "Old system" --id old {
  linux /boot/vmlinuz-4.19.0-old %(mark)s console=ttyS0
  initrd /boot/initrd.img-4.19.0-old
}
if [ -f  ${config_directory}/custom.cfg ]; then
  source ${config_directory}/custom.cfg
elif [ -z "${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
"""
#: On the serial port from the start: where GRUB ends at its rescue prompt, the harness need not wait.
_EARLY = "serial --unit=0 --speed=115200\nterminal_output serial\n"
_EFI_MODULES = ("part_gpt", "part_msdos", "ext2", "xfs", "fat", "search", "search_fs_uuid", "normal", "configfile")
_EFI_MODULES += ("loadenv", "test", "true", "echo", "sleep", "linux", "boot", "serial", "terminal", "reboot", "minicmd")


@dataclass(frozen=True)
class Place:
    """A partition of the old disk, in bytes."""

    number: int
    start: int
    size: int


@dataclass(frozen=True)
class OldSystem:
    """What was made, as the facts of the host need it."""

    root: Place
    root_uuid: str
    table_id: str
    esp: Place | None = None
    esp_uuid: str = ""
    esp_partuuid: str = ""


def build(combo: Combo, image: Path, scratch: Path, seed: int = 815) -> OldSystem:
    """Write the disk of the old system into ``image``."""
    chance = random.Random(f"{seed}/{combo.name}")
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    system = _table(combo, image, chance)
    with filesystems.loop(image, system.root.start, system.root.size, combo.sector_bytes) as device:
        make = {"ext4": ["mkfs.ext4", "-q", "-F", "-U"], "xfs": ["mkfs.xfs", "-q", "-f", "-m"]}[combo.fstype]
        filesystems.run(*make, ("" if combo.fstype == "ext4" else "uuid=") + system.root_uuid, device)
        with filesystems.mounted(device, scratch / "old", combo.fstype) as root:
            _fill(root, chance)
    if system.esp:
        _make_esp(combo, image, system, scratch)
    else:
        _install_grub(combo, image, system)
    return system


def _table(combo: Combo, image: Path, chance: random.Random) -> OldSystem:
    size = combo.sector_bytes
    root_uuid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    end = DISK_BYTES - MIB
    if combo.table == "mbr":
        place = Place(1, MIB, end - MIB)
        disk_id = chance.getrandbits(32) | 1
        entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", MIB // size, place.size // size)
        with image.open("r+b") as file:
            file.seek(440)
            file.write(struct.pack("<IH", disk_id, 0) + entry + bytes(48) + b"\x55\xaa")
        return OldSystem(place, root_uuid, f"{disk_id:08x}")
    identity = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    first = Place(1, MIB, ESP_BYTES[size] if combo.firmware == "uefi" else MIB)
    place = Place(2, first.start + first.size, end - first.start - first.size)
    partuuid = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    kind = {"uefi": "ef00", "bios": "ef02"}[combo.firmware]
    argv = ["sgdisk", "--disk-guid", identity]
    for one, code in ((first, kind), (place, "8300")):
        argv += [f"--new={one.number}:{one.start // size}:{(one.start + one.size) // size - 1}"]
        argv += [f"--typecode={one.number}:{code}"]
    # A loop device, because only a device tells sgdisk the size of its sectors.
    with filesystems.loop(image, sector_bytes=size) as device:
        filesystems.run(*argv, f"--partition-guid={first.number}:{partuuid}", device)
    if combo.firmware == "bios":
        return OldSystem(place, root_uuid, identity)
    return OldSystem(place, root_uuid, identity, first, f"{chance.getrandbits(32):08X}", partuuid)


def _fill(root: Path, chance: random.Random) -> None:
    for folder in ("boot/grub", "etc", "var/lib/dualroot", "srv/data", "home/admin"):
        (root / folder).mkdir(parents=True)
    (root / "etc/hostname").write_text("gw-0815\n")
    (root / "boot/vmlinuz-4.19.0-old").write_bytes(tiny_kernel.image())
    (root / "boot/initrd.img-4.19.0-old").write_bytes(b"initrd-of-old\n")
    (root / "boot/grub/grub.cfg").write_text(_GRUB_CONFIG % {"mark": MARK})
    (root / "boot/grub/grubenv").write_bytes(b"# GRUB Environment Block\n".ljust(1024, b"#"))
    for number in range(200):
        size = chance.choice((100, 5000, 40000, 200000))
        (root / f"srv/data/file-{number:03d}").write_bytes(chance.randbytes(size))
    (root / "srv/data/large").write_bytes(chance.randbytes(16 * MIB))
    (root / "srv/data/link").symlink_to("large")


def _install_grub(combo: Combo, image: Path, system: OldSystem) -> None:
    """Put GRUB where grub-install would: the gap behind an MBR, or the BIOS boot partition of a GPT."""
    name = f"(hd0,{'msdos' if combo.table == 'mbr' else 'gpt'}{system.root.number})/boot/grub"
    core = grub_bios.build_core(CommandRunner(), grub_bios.GRUB_DIRECTORY, name, _EARLY)
    start = 1 if combo.table == "mbr" else MIB // grub_bios.SECTOR
    with image.open("r+b") as file:
        present = file.read(grub_bios.SECTOR)
        file.seek(0)
        file.write(grub_bios.boot_sector(grub_bios.boot_image(grub_bios.GRUB_DIRECTORY), start, present))
        file.seek(start * grub_bios.SECTOR)
        file.write(grub_bios.place_core(core, start))


def _make_esp(combo: Combo, image: Path, system: OldSystem, scratch: Path) -> None:
    """Make the ESP with GRUB as vendor loader and on the removable path."""
    if system.esp is None:
        raise ValueError("this system has no ESP")
    early = scratch / "early.cfg"
    early.write_text(
        f"{_EARLY}search --no-floppy --fs-uuid --set=root {system.root_uuid}\nset prefix=($root)/boot/grub\n"
    )
    loader = scratch / "grubx64.efi"
    argv = ["grub-mkimage", "-O", "x86_64-efi", "-d", str(EFI_DIRECTORY), "-o", str(loader), "-c", str(early)]
    filesystems.run(*argv, "-p", "/boot/grub", *_EFI_MODULES)
    # By mtools: not every kernel that runs tests can mount FAT.
    where = f"{image}@@{system.esp.start}"
    argv = ["mkfs.vfat", "-F", "32", "-i", system.esp_uuid, "-s", "1", "-S", str(combo.sector_bytes)]
    argv += ["--offset", str(system.esp.start // combo.sector_bytes), str(image), str(system.esp.size // 1024)]
    filesystems.run(*argv)
    for folder in ("EFI", "EFI/debian", "EFI/BOOT"):
        filesystems.run("mmd", "-i", where, f"::{folder}")
    for path in ("EFI/debian/grubx64.efi", "EFI/BOOT/BOOTX64.EFI"):
        filesystems.run("mcopy", "-i", where, str(loader), f"::{path}")
