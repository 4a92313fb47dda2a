# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a change to where GRUB sees it: on the blocks themselves, not in a journal.

GRUB replays no journal. After ``sync`` ext4 has written its journal back as far as GRUB needs; XFS has
not, and freezing it does (xfs_freeze(8)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from ..archive.durable import sync_file_system
from . import mounts

#: linux/fs.h: _IOWR('X', 119, int) and _IOWR('X', 120, int).
_FIFREEZE = 0xC0045877
_FITHAW = 0xC0045878
#: Where sync is enough, the file system is not stopped: it may be the root of a working host.
_SYNC_IS_ENOUGH = ("ext2", "ext3", "ext4", "vfat")


def settle(path: Path, freeze: bool = False) -> None:
    """Make all that was written below the mount of ``path`` visible to a reader without a journal.

    With ``freeze`` it is done the thorough way whatever the file system is.
    """
    sync_file_system(path)
    mount = mounts.find(path)
    if not freeze and mount is not None and mount.fstype in _SYNC_IS_ENOUGH:
        return
    handle = os.open(mount.target if mount else path, os.O_RDONLY)
    try:
        # File systems that cannot freeze (tmpfs, overlay) have no journal either; EBUSY: frozen already.
        with contextlib.suppress(OSError):
            fcntl.ioctl(handle, _FIFREEZE, 0)
            fcntl.ioctl(handle, _FITHAW, 0)
    finally:
        os.close(handle)
