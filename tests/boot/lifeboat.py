# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lifeboat on a disk image, in pieces, and its boots under QEMU and SeaBIOS."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import (
    CORE_BYTES,
    PARTS,
    Extent,
    Lifeboat,
    Part,
)

from . import tiny_kernel
from .machine import BOOT_SECONDS, RUN_ID, Boot

BLOCK = 4096
#: How disks are attached, as QEMU's arguments; ``{drive}`` is the id of the drive.
HARDWARE: dict[str, Sequence[str]] = {
    "virtio": ("-device", "virtio-blk-pci,drive={drive}"),
    "IDE": ("-device", "ide-hd,drive={drive}"),
    "SATA": ("-device", "ahci,id=ahci-{drive}", "-device", "ide-hd,drive={drive},bus=ahci-{drive}.0"),
    "SCSI": ("-device", "virtio-scsi-pci,id=scsi-{drive}", "-device", "scsi-hd,drive={drive},bus=scsi-{drive}.0"),
}

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PIECES = 3


@dataclass(frozen=True)
class Content:
    """What the parts hold; each block says which it is, so that a wrong order is seen on the serial port."""

    kernel: bytes
    initrd: bytes
    host: bytes

    @property
    def spoken(self) -> str:
        """What the tiny kernel says of its initramfs: GRUB puts one file behind the other."""
        return (self.initrd + self.host).replace(b"\0", b"").decode()


def content(blocks: int = _PIECES) -> Content:
    """Return small contents of some blocks; the last block of each is not full."""

    def words(name: str) -> bytes:
        pieces = [f"{name}-{index} ".encode().ljust(BLOCK, b"\0") for index in range(blocks)]
        return b"".join(pieces)[: -BLOCK // 2]

    return Content(tiny_kernel.image().ljust(3 * BLOCK - 700, b"\0"), words("initrd"), words("host"))


def stow(image: Path, found: Content, start: int, *, pieces: int = _PIECES) -> Lifeboat:
    """Write a lifeboat into an image from byte ``start`` on.

    Each part but kernel and core lies in pieces, with holes between them and the last piece first.
    """
    data = {"kernel": found.kernel, "initrd": found.initrd, "host": found.host, "payload": b"payload", "journal": b""}
    parts = {"core": Part("core", CORE_BYTES, "", (Extent(start, CORE_BYTES),))}
    position = start + CORE_BYTES
    for name in PARTS[:-1]:
        extents = _apart(len(data[name]), position, 1 if name == "kernel" else pieces)
        position = max((one.end for one in extents), default=position) + BLOCK
        parts[name] = Part(name, len(data[name]), "", extents)
    with image.open("r+b") as file:
        for name, part in parts.items():
            left = data.get(name, b"")
            for extent in part.extents:
                file.seek(extent.start)
                file.write(left[: extent.length])
                left = left[extent.length :]
    return Lifeboat(RUN_ID, "0" * 64, image.stat().st_size, 512, parts)


def _apart(size: int, position: int, pieces: int) -> tuple[Extent, ...]:
    """Return extents for ``size`` bytes, with holes between them, the last one first on the disk."""
    blocks = -(-size // BLOCK)
    each = -(-blocks // pieces) if blocks else 0
    lengths = [min(each, blocks - done) * BLOCK for done in range(0, blocks, each)] if each else []
    extents = []
    for length in reversed(lengths):
        extents.append(Extent(position, length))
        position += length + BLOCK
    return tuple(reversed(extents))


def machine_argv(disks: Mapping[Path, str], memory: int = 128) -> list[str]:
    """Return the command of a machine with disk images, each with its hardware, the first being the BIOS's first."""
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-m", str(memory), "-display", "none", "-serial", "stdio"]
    argv += ["-monitor", "none", "-no-reboot", "-net", "none"]
    for index, (image, hardware) in enumerate(disks.items()):
        drive = f"disk{index}"
        argv += ["-drive", f"file={image},format=raw,if=none,id={drive},cache=writethrough"]
        argv += [word.format(drive=drive) for word in HARDWARE[hardware]]
        argv[-1] += f",bootindex={index + 1}"
    return argv


def boot(disks: Mapping[Path, str]) -> Boot:
    """Start a machine and return what it said until it reset."""
    argv = machine_argv(disks)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=BOOT_SECONDS, check=True)
    return Boot(_SEQUENCE.sub("", done.stdout.decode("latin-1")).replace("\r", ""))
