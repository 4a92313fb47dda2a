# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes that are on the disk when they return."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader sees the old content or the new, also after a power cut."""
    temporary = path.with_name(path.name + ".new")
    # A leftover of an earlier crash may have another mode; created anew, no one reads it in between.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.fchmod(handle, mode)
        write_all(handle, memoryview(content))
        os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(temporary, path)
    sync_directory(path.parent)


def write_all(handle: int, view: memoryview) -> None:
    """Write every byte of ``view``; ``os.write`` alone may write fewer."""
    written = 0
    while written < len(view):
        written += os.write(handle, view[written:])


def sync_directory(path: Path) -> None:
    """Bring the entries of a directory to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_device(path: Path) -> None:
    """Bring all that waits for a block device to it, and out of its own cache; raises ``OSError``."""
    # What waits in file systems first: their own sync has told its errors by then.
    os.sync()
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(path: Path) -> None:
    """Bring everything of the file system that holds ``path`` to the disk; raises ``OSError``.

    syncfs(2) reports writeback errors since Linux 5.8; sync(2), the substitute where Python has no
    ctypes, never does.
    """
    try:
        import ctypes
    except ImportError:
        os.sync()
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(handle)
