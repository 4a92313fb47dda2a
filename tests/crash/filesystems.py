# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""File systems inside disk images, without partition devices: loop devices with an offset."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

#: Mount options that neither write nor replay a journal: what is on the blocks is what counts.
UNTOUCHED = MappingProxyType({"ext4": "ro,noload", "xfs": "ro,norecovery,nouuid", "vfat": "ro"})

#: Those with which the system of the image itself would begin: the journal is replayed, nothing else changes.
REPLAYED = MappingProxyType({"ext4": "ro", "xfs": "ro,nouuid"})

#: One mount at a time: a new mount namespace takes every mount along that there is, and a file system that is
#: unmounted here stays mounted there, so that its image is not what it should be.
MOUNTS = threading.RLock()


def run(*argv: str, stdin: bytes | None = None) -> bytes:
    """Run a program; its output. What it says on failure is in the error."""
    return accepting((0,), *argv, stdin=stdin)


def accepting(statuses: Sequence[int], *argv: str, stdin: bytes | None = None) -> bytes:
    """Like ``run``, for a program that says more than yes and no by its exit status."""
    done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
    if done.returncode not in statuses:
        said = done.stderr.decode(errors="replace")[-3000:]
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {said}")
    return done.stdout


@contextlib.contextmanager
def loop(image: Path, offset: int = 0, size: int = 0, sector_bytes: int = 512) -> Iterator[str]:
    """Yield a loop device over a part of an image."""
    argv = ["losetup", "--find", "--show", "--offset", str(offset), "--sector-size", str(sector_bytes)]
    if size:
        argv += ["--sizelimit", str(size)]
    device = run(*argv, str(image)).decode().strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextlib.contextmanager
def mounted(device: str, at: Path, fstype: str, options: str = "") -> Iterator[Path]:
    """Mount a device for as long as the body runs."""
    at.mkdir(parents=True, exist_ok=True)
    with MOUNTS:
        run("mount", "-t", fstype, "-o", options or "rw", device, str(at))
        try:
            yield at
        finally:
            run("umount", str(at))


def let_go_of_others() -> None:
    """In a mount namespace of its own: give back the loop devices that other processes have mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    # proc(5): the mount point is the fifth field, the source the second one after the hyphen.
    found = [(line.split()[4], line.partition(" - ")[2].split()[1]) for line in lines]
    for target, source in reversed(found):
        if source.startswith("/dev/loop"):
            run("umount", "--lazy", target)


@contextlib.contextmanager
def read_only(
    image: Path,
    offset: int,
    size: int,
    fstype: str,
    at: Path,
    sector_bytes: int = 512,
    options: Mapping[str, str] = UNTOUCHED,
) -> Iterator[Path]:
    """Mount a file system of an image to read it: so that not a bit changes, or with its journal ``REPLAYED``."""
    with loop(image, offset, size, sector_bytes) as device, mounted(device, at, fstype, options[fstype]) as root:
        yield root


def describe(root: Path, passed_over: Callable[[str], bool] = lambda path: False) -> dict[str, str]:
    """Return of every path what it is: kind, mode, owner, links, attributes, content (by SHA-256)."""
    found = {}
    for folder, names, files in os.walk(root):
        here = os.path.relpath(folder, root)
        for name in sorted((*names, *files)):
            path = os.path.normpath(os.path.join(here, name))
            if not passed_over(path):
                found[path] = _describe(os.path.join(folder, name))
        names[:] = sorted(name for name in names if not passed_over(os.path.normpath(os.path.join(here, name))))
    return found


def _describe(path: str) -> str:
    status = os.lstat(path)
    parts = [f"{status.st_mode:o}", f"{status.st_uid}:{status.st_gid}"]
    if stat.S_ISLNK(status.st_mode):
        return " ".join([*parts, os.readlink(path)])
    parts += [f"{name}={os.getxattr(path, name).hex()}" for name in sorted(os.listxattr(path))]
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            parts += [f"links={status.st_nlink}", hashlib.sha256(file.read()).hexdigest()]
    return " ".join(parts)
