# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small ``newc`` cpio archive of files in memory: the host's own part of the initramfs.

The kernel unpacks it after the convert initrd (Documentation/driver-api/early-userspace/buffer-format.rst).
Nothing of the moment is in it, so equal content gives equal bytes and a second staging copies nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from .. import newc

_FOLDER_MODE = 0o040755
_PRIVATE_FOLDER_MODE = 0o040700
_FILE_MODE = 0o100644
_PRIVATE_FILE_MODE = 0o100600


def pack(files: Mapping[str, bytes], public: bool = False, folders: Collection[str] | None = None) -> bytes:
    """Return an archive of ``files`` (relative path to content), each 0600 and of root.

    Folders are added: ``etc`` 0755 as everywhere, others 0700. With ``public`` all are for everybody to read: an
    archive changes the modes of folders that are there before it. With ``folders`` only those are added: an archive
    also replaces a link of that name by a folder. Raises ``ValueError`` for a path that is absolute or leads upwards.
    """
    parents = {str(parent) for name in files for parent in _parents(name)}
    archive = bytearray()
    file_mode = _FILE_MODE if public else _PRIVATE_FILE_MODE
    inode = 1
    for folder in sorted(parents if folders is None else parents & set(folders)):
        mode = _FOLDER_MODE if public or folder == "etc" else _PRIVATE_FOLDER_MODE
        archive += newc.header(folder, inode, mode, 0)
        inode += 1
    for name in sorted(files):
        data = files[name]
        archive += newc.header(name, inode, file_mode, len(data)) + data + newc.padding(len(data))
        inode += 1
    archive += newc.trailer()
    return bytes(archive + newc.padding(len(archive), newc.BLOCK))


def _parents(name: str) -> list[PurePosixPath]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"not a path inside an archive: {name!r}")
    return [parent for parent in path.parents if parent != PurePosixPath(".")]
