# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore target holds already, and how it is emptied.

Neither looks into nor deletes from file systems mounted below the target: they belong to others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from . import marker

#: What mkfs puts into an empty ext file system; root's own, and only in the top directory.
_OF_THE_FILE_SYSTEM = "lost+found"


def occupants(target: Path) -> Iterator[str]:
    """Yield what keeps the target from being empty, by paths relative to it.

    No occupants are: ``lost+found``, the marker, mount points, and directories that only lead to some.
    """
    device = os.stat(target).st_dev
    for entry in _sorted(target):
        if entry.name in (_OF_THE_FILE_SYSTEM, marker.NAME, marker.NAME + ".new"):
            continue
        if not _leads_to_mounts_only(entry, device):
            yield entry.name


def empty(target: Path) -> None:
    """Delete everything but ``lost+found``, the marker and what is mounted below."""
    device = os.stat(target).st_dev
    for entry in _sorted(target):
        if entry.name not in (_OF_THE_FILE_SYSTEM, marker.NAME):
            _delete(entry, device)


def _sorted(directory: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(directory) as found:
        return sorted(found, key=lambda entry: entry.name)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _leads_to_mounts_only(entry: os.DirEntry[str], device: int) -> bool:
    status = os.lstat(entry.path)
    if not stat.S_ISDIR(status.st_mode):
        return False
    if status.st_dev != device:
        return True
    inside = _sorted(entry.path)
    return bool(inside) and all(_leads_to_mounts_only(each, device) for each in inside)


def _delete(entry: os.DirEntry[str], device: int) -> bool:
    """Delete one entry; return whether it is gone (a directory on the way to a mount stays)."""
    if not _is_directory(entry):
        os.unlink(entry.path)
        return True
    if os.lstat(entry.path).st_dev != device:
        return False
    gone = [_delete(each, device) for each in _sorted(entry.path)]
    if not all(gone):
        return False
    os.rmdir(entry.path)
    return True
