# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole sectors of a disk, past the page cache: on the disk when a write returns, from the disk when read."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def opened(path: str | Path, *, write: bool = False) -> Iterator[int]:
    """Yield a descriptor for ``read_at`` and ``write_at``; raises ``OSError``."""
    flags = os.O_RDWR | os.O_DSYNC if write else os.O_RDONLY
    try:
        handle = os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        # open(2): a file system may refuse O_DIRECT (images on tmpfs); block devices never do.
        if error.errno != errno.EINVAL:
            raise
        handle = os.open(path, flags)
    try:
        yield handle
    finally:
        os.close(handle)


def write_at(handle: int, offset: int, data: bytes) -> None:
    """Write whole sectors and flush the disk's cache; raises ``OSError``, also for a short write."""
    with _aligned(data) as buffer:
        written = os.pwrite(handle, buffer, offset)
        # O_DSYNC has flushed already where the kernel keeps its promise; the second time costs nothing.
        os.fsync(handle)
    if written != len(data):
        raise OSError(errno.EIO, f"{written} bytes of {len(data)} were taken")


def read_at(handle: int, offset: int, length: int) -> bytes:
    """Return up to ``length`` bytes of whole sectors; less at the end of the disk."""
    with _aligned(bytes(length)) as buffer:
        count = os.preadv(handle, [buffer], offset)
        return bytes(buffer[:count])


@contextlib.contextmanager
def _aligned(data: bytes) -> Iterator[memoryview]:
    """Yield a copy of ``data`` in whole pages of memory, as O_DIRECT demands (open(2))."""
    with mmap.mmap(-1, max(len(data), 1)) as pages, memoryview(pages) as view, view[: len(data)] as part:
        part[:] = data
        yield part
