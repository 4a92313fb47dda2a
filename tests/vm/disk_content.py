# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on a disk, seen and changed from outside while no machine uses it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.image_disk import FIRST


@dataclass(frozen=True)
class Content:
    """``outside``: digest of what lies before the root of an image with MBR; ``files``: by path, what a file is."""

    outside: str
    files: dict[str, str]


def read(disk: Path, scratch: Path) -> Content:
    """Read a disk; ``scratch`` takes a copy of it for as long as that takes."""
    # Without replaying the journal: what is on the disk is what counts.
    with _mounted(disk, scratch, "ro,noload") as (raw, root):
        files = {str(path.relative_to(root)): _describe(path) for path in sorted(root.rglob("*"))}
        with raw.open("rb") as file:
            outside = hashlib.sha256(file.read(FIRST)).hexdigest()
    return Content(outside, files)


@contextlib.contextmanager
def changed(disk: Path, scratch: Path) -> Iterator[Path]:
    """Let the body change the files of the root file system under the path that it gets."""
    with _mounted(disk, scratch, "rw") as (raw, root):
        yield root
        _run("umount", str(root))
        _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(disk))


@contextlib.contextmanager
def changed_at(
    disk: Path, scratch: Path, places: Mapping[str, tuple[int, int]], *, keep: bool = True
) -> Iterator[dict[str, Path]]:
    """Let the body change the ext4 file systems at ``places`` (start, length) of the disk, named by its keys.

    Without ``keep`` the disk stays as it was, and the body has only seen it.
    """
    raw = scratch / "content.raw"
    _run("qemu-img", "convert", "-O", "raw", str(disk), str(raw))
    mounted: dict[str, Path] = {}
    try:
        for name, (start, length) in places.items():
            mounted[name] = scratch / f"content-{name}"
            mounted[name].mkdir(exist_ok=True)
            # With its length: two loop devices of one file must not overlap (mount(8)).
            options = f"loop,rw,offset={start},sizelimit={length}"
            _run("mount", "-t", "ext4", "-o", options, str(raw), str(mounted[name]))
        yield mounted
        for path in mounted.values():
            _run("umount", str(path))
        if keep:
            _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(disk))
    finally:
        for path in mounted.values():
            if path.is_mount():
                _run("umount", str(path))
        raw.unlink()


@contextlib.contextmanager
def _mounted(disk: Path, scratch: Path, mode: str) -> Iterator[tuple[Path, Path]]:
    raw, root = scratch / "content.raw", scratch / "content"
    _run("qemu-img", "convert", "-O", "raw", str(disk), str(raw))
    root.mkdir(exist_ok=True)
    # By offset, since a kernel may show no partitions of a loop device.
    _run("mount", "-t", "ext4", "-o", f"loop,{mode},offset={FIRST}", str(raw), str(root))
    try:
        yield raw, root
    finally:
        if root.is_mount():
            _run("umount", str(root))
        raw.unlink()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def files(root: Path, without: tuple[str, ...]) -> dict[str, str]:
    """Return of every path below ``root`` what it is, except those ``without`` names and what is below them."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if not any(name == one or name.startswith(one + "/") for one in without):
            found[name] = _describe(path)
    return found


def _describe(path: Path) -> str:
    """Return kind, mode, owner, attributes and content of a file in one line."""
    status = path.lstat()
    parts = [f"{status.st_mode:o}", f"{status.st_uid}:{status.st_gid}"]
    if stat.S_ISLNK(status.st_mode):
        return " ".join([*parts, os.readlink(path)])
    parts += [f"{name}={os.getxattr(path, name).hex()}" for name in sorted(os.listxattr(path))]
    if stat.S_ISREG(status.st_mode):
        parts.append(hashlib.sha256(path.read_bytes()).hexdigest())
    elif not stat.S_ISDIR(status.st_mode):
        parts.append(f"device {status.st_rdev:x}")
    return " ".join(parts)


def changes(before: Content, after: Content, may_differ: re.Pattern[str]) -> list[str]:
    """Return the paths that differ, except those that ``may_differ`` matches at their start."""
    paths = sorted(before.files.keys() | after.files.keys())
    differing = [path for path in paths if before.files.get(path) != after.files.get(path)]
    return [path for path in differing if not may_differ.match(path)]
