# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the disk of an image: its table and its file systems, without a loop device."""

from __future__ import annotations

import os
import struct
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from .recipes import Recipe

SECTOR = 512
MIB = 1 << 20
#: Where the first partition starts.
FIRST = MIB
#: What Debian's installer makes; its clusters of 4 KiB are more than the 65,525 from which on FAT is FAT32.
ESP_BYTES = 512 * MIB


class ImageError(Exception):
    """An image could not be built; the text says why and where the log is."""


@dataclass(frozen=True)
class Ids:
    """The identities of one image's file systems."""

    root: str = field(default_factory=lambda: str(uuid.uuid4()))
    #: FAT has a serial number of 32 bits.
    esp: str = field(default_factory=lambda: os.urandom(4).hex().upper())

    def fstab(self, recipe: Recipe) -> str:
        root = f"UUID={self.root} / ext4 errors=remount-ro 0 1\n"
        if recipe.firmware == "bios":
            return root
        return root + f"UUID={self.esp[:4]}-{self.esp[4:]} /boot/efi vfat umask=0077 0 1\n"


def write(recipe: Recipe, root: Path, disk: Path, ids: Ids) -> None:
    """Write the whole disk; its root file system is the folder ``root``."""
    with disk.open("wb") as file:
        file.truncate(recipe.disk_bytes)
    start, size = FIRST, recipe.disk_bytes - FIRST
    if recipe.firmware == "uefi":
        start, size = FIRST + ESP_BYTES, recipe.disk_bytes - FIRST - ESP_BYTES - MIB
        argv = ["sgdisk", f"--new=1:{FIRST // SECTOR}:{start // SECTOR - 1}", "--typecode=1:ef00"]
        run([*argv, f"--new=2:{start // SECTOR}:{(start + size) // SECTOR - 1}", "--typecode=2:8300", str(disk)])
        argv = ["mkfs.vfat", "-F", "32", "-s", "8", "-n", "ESP", "-i", ids.esp, f"--offset={FIRST // SECTOR}"]
        run([*argv, str(disk), str(ESP_BYTES // 1024)])
    else:
        with disk.open("r+b") as file:
            file.write(_boot_record(size // SECTOR))
    # Features that the boot loader of 2018 cannot read are named, whatever this machine's defaults are.
    features = "^metadata_csum_seed,^orphan_file"
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", features, "-U", ids.root, "-d", str(root)]
    run([*argv, "-E", f"offset={start}", str(disk), f"{size // 1024}k"])


def _boot_record(root_sectors: int) -> bytes:
    """Return an MBR with a disk identifier and one active Linux partition, placed by sector number."""
    no_cylinders = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, no_cylinders, 0x83, no_cylinders, FIRST // SECTOR, root_sectors)
    return bytes(440) + os.urandom(4) + bytes(2) + entry + bytes(48) + b"\x55\xaa"


def run(argv: list[str], stdin: str = "") -> None:
    done = subprocess.run(argv, input=stdin.encode(), capture_output=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace').strip()}")
