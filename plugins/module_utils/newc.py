# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parts of a ``newc`` cpio archive, as the kernel unpacks it.

Format: Documentation/driver-api/early-userspace/buffer-format.rst. Owner is root and the inode is
counted by the caller, so that equal content gives equal bytes.
"""

from __future__ import annotations

import stat

TRAILER = "TRAILER!!!"
#: An archive is filled up to this, so that another can follow it.
BLOCK = 512


def padding(size: int, step: int = 4) -> bytes:
    """Return the zero bytes that bring ``size`` to a multiple of ``step``."""
    return b"\0" * (-size % step)


def header(name: str, inode: int, mode: int, size: int, mtime: int = 0) -> bytes:
    """Return the padded header of an entry with ``size`` bytes of data; ``mode`` holds the file type."""
    links = 2 if stat.S_ISDIR(mode) else 1
    raw = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, mtime, size, 0, 0, 0, 0, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    return head + padding(len(head))


def trailer() -> bytes:
    """Return the entry that ends an archive, without the filling behind it."""
    return header(TRAILER, 0, 0, 0)
