# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An image file as a disk: one file system that begins somewhere inside of it, mounted by a loop device."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True)
class LoopDisk:
    """``image`` is the whole disk, ``start`` the byte at which the file system mounted at ``mount`` begins."""

    image: Path
    start: int
    mount: Path

    def free(self) -> int:
        space = os.statvfs(self.mount)
        return space.f_bfree * space.f_frsize


def missing(kind: str) -> str:
    """Return why such a disk cannot be had here, empty where it can."""
    if os.geteuid() != 0:
        return "needs root"
    return "" if shutil.which(f"mkfs.{kind}") else f"mkfs.{kind} is not installed"


@contextlib.contextmanager
def loop_disk(
    folder: Path, kind: str, size: int, start: int = MIB, options: tuple[str, ...] = (), mounting: str = ""
) -> Iterator[LoopDisk]:
    """Make an image of ``size`` bytes with a file system from ``start`` to a MiB before its end, and mount it."""
    part, image, mount = folder / "part.img", folder / "disk.img", folder / "mount"
    with part.open("wb") as stream:
        stream.truncate((size - start - MIB) // 4096 * 4096)
    quiet = ("-q", "-F") if kind == "ext4" else ("-q", "-f")
    subprocess.run([f"mkfs.{kind}", *quiet, *options, str(part)], check=True)
    with image.open("wb") as stream:
        stream.truncate(size)
    copy = ["dd", f"if={part}", f"of={image}", "bs=64K", f"seek={start}", "oflag=seek_bytes", "conv=notrunc,sparse"]
    subprocess.run([*copy, "status=none"], check=True)
    part.unlink()
    mount.mkdir()
    chosen = f"loop,offset={start}" + (f",{mounting}" if mounting else "")
    subprocess.run(["mount", "-o", chosen, str(image), str(mount)], check=True)
    try:
        yield LoopDisk(image, start, mount)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def is_sound(disk: LoopDisk, kind: str) -> bool:
    """Tell whether the file system's own checker, after unmounting, finds nothing wrong."""
    checked = disk.image.with_name("checked.img")
    copy = ["dd", f"if={disk.image}", f"of={checked}", "bs=64K", f"skip={disk.start}", "iflag=skip_bytes"]
    subprocess.run([*copy, "conv=sparse", "status=none"], check=True)
    with checked.open("r+b") as stream:
        stream.truncate((disk.image.stat().st_size - disk.start - MIB) // 4096 * 4096)
    argv = ["e2fsck", "-fn", str(checked)] if kind == "ext4" else ["xfs_repair", "-n", str(checked)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
