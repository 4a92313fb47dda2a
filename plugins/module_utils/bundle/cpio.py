# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A folder as a reproducible ``newc`` cpio archive, as the kernel reads it.

Format: Documentation/driver-api/early-userspace/buffer-format.rst. GNU cpio writes inode
numbers, owners and times of the building machine; here names are sorted, inodes are counted,
owner is root and every time is the given one, so equal trees give equal bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .. import newc

CHUNK = 1 << 20


def write(root: Path, output: IO[bytes], mtime: int) -> int:
    """Write everything below ``root`` to ``output``; return the bytes that it takes unpacked.

    File data is counted in whole pages of 4 KiB, as the kernel's tmpfs keeps it.
    """
    unpacked = 0
    position = 0
    for inode, path in enumerate(walk(root), start=1):
        info = path.lstat()
        name = str(path.relative_to(root))
        if stat.S_ISLNK(info.st_mode):
            body = str(path.readlink()).encode()
            head = newc.header(name, inode, stat.S_IFLNK | 0o777, len(body), mtime)
            position += output.write(head + body + newc.padding(len(body)))
        elif stat.S_ISDIR(info.st_mode):
            position += output.write(newc.header(name, inode, info.st_mode, 0, mtime))
        elif stat.S_ISREG(info.st_mode):
            position += output.write(newc.header(name, inode, info.st_mode, info.st_size, mtime))
            position += _copy(path, output, info.st_size)
            unpacked += -(-info.st_size // 4096) * 4096
    position += output.write(newc.trailer())
    output.write(newc.padding(position, newc.BLOCK))
    return unpacked


def walk(root: Path) -> Iterator[Path]:
    """Yield everything below ``root``, folders before what they hold, names in byte order."""
    for path in sorted(root.iterdir(), key=lambda item: item.name.encode()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)


def _copy(path: Path, output: IO[bytes], size: int) -> int:
    left = size
    with path.open("rb") as file:
        while left:
            data = file.read(min(CHUNK, left))
            if not data:
                raise OSError(f"{path} became shorter while it was read")
            output.write(data)
            left -= len(data)
    return size + output.write(newc.padding(size))
