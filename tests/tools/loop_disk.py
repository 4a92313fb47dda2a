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
#: A file system settles within seconds, and a copy takes less than one.
COPIES = 30


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
def loop_device(image: Path, start: int, *options: str) -> Iterator[str]:
    """Attach what lies between ``start`` and a MiB before the end of an image."""
    size = (image.stat().st_size - start - MIB) // 4096 * 4096
    argv = ["losetup", "--find", "--show", *options, f"--offset={start}", f"--sizelimit={size}", str(image)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextlib.contextmanager
def loop_disk(
    folder: Path, kind: str, size: int, start: int = MIB, options: tuple[str, ...] = (), mounting: str = "rw"
) -> Iterator[LoopDisk]:
    """Make an image of ``size`` bytes with a file system from ``start`` to a MiB before its end, and mount it."""
    image, mount = folder / "disk.img", folder / "mount"
    with image.open("wb") as stream:
        stream.truncate(size)
    mount.mkdir()
    with loop_device(image, start) as device:
        quiet = ("-q", "-F") if kind == "ext4" else ("-q", "-f")
        subprocess.run([f"mkfs.{kind}", *quiet, *options, device], check=True)
        subprocess.run(["mount", "-o", mounting, device, str(mount)], check=True)
        try:
            yield LoopDisk(image, start, mount)
        finally:
            subprocess.run(["umount", str(mount)], check=True)


def copy_at_a_moment(image: Path, copy: Path) -> None:
    """Copy the image of a mounted disk as it is at one moment, which is what a power cut leaves.

    A copy takes a while, and a file system that writes meanwhile (XFS its log, in the background) would leave one that
    no cut leaves: new metadata with an old log. So it is taken again until nothing was written meanwhile.
    """
    argv = ["losetup", "--associated", str(image), "--noheadings", "--output", "NAME"]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[0]
    for _attempt in range(COPIES):
        before = _writes(device)
        subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
        if before == _writes(device) and before[1] == 0:
            return
    raise AssertionError(f"{device} was written to during each of {COPIES} copies")


def _writes(device: str) -> tuple[int, int]:
    """Return how many writes have ended and how many requests are under way (Documentation/block/stat.rst)."""
    fields = Path(f"/sys/block/{Path(device).name}/stat").read_text().split()
    return int(fields[4]), int(fields[8])


def complaints(disk: LoopDisk, kind: str) -> str:
    """Return what the file system's own checker says, after unmounting, if it finds anything wrong; else nothing."""
    with loop_device(disk.image, disk.start, "--read-only") as device:
        argv = ["e2fsck", "-fn", device] if kind == "ext4" else ["xfs_repair", "-n", device]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return f"{argv[0]} ended with {done.returncode}: {done.stdout}" if done.returncode else ""
