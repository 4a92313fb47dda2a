# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The content of a slot as one digest: kinds, owners, modes, links and bytes of all its files.

``Expected`` is what was written: digests from the stream of the archive, and from memory for the files that
were made or changed after it. ``read`` is what the disk gives back.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Made by the file system and by the restore, and no content of the slot.
_NO_CONTENT = (b"lost+found", b".dualroot-restore")
_CHUNK = 1 << 20

#: Called with the bytes read so far.
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Content:
    """``entries`` maps paths below the root to one digest each; ``bytes`` is the size of all files."""

    entries: Mapping[bytes, bytes]
    bytes: int

    @property
    def sha256(self) -> str:
        """Return the digest of the whole, in hex."""
        whole = hashlib.sha256()
        for path in sorted(self.entries):
            whole.update(path + b"\0" + self.entries[path])
        return whole.hexdigest()

    def differences(self, other: Content) -> list[str]:
        """Return the paths that are not the same in both."""
        paths = self.entries.keys() | other.entries.keys()
        return [os.fsdecode(one) for one in sorted(paths) if self.entries.get(one) != other.entries.get(one)]


class Expected:
    """What a restored tree holds while it is configured; made when the restore is done.

    A file counts as unchanged as long as the kernel's change time stays: no program can set it.
    """

    def __init__(self, root: Path, streamed: Mapping[bytes, bytes]) -> None:
        self._root = root
        self._streamed = streamed
        self._changed = {path: status.st_ctime_ns for path, status in walk(root)}

    def content(self) -> Content:
        """Return the content as it must be on the disk; files that are newer than the restore are read."""
        return _content(self._root, self._digest)

    def _digest(self, path: bytes, status: os.stat_result) -> bytes:
        known = self._streamed.get(path)
        if known is not None and self._changed.get(path) == status.st_ctime_ns:
            return known
        return file_digest(os.path.join(os.fsencode(self._root), path))


def read(root: Path, progress: Progress | None = None) -> Content:
    """Return the content of a mounted slot; every byte is read. Raises ``OSError``."""
    done = 0

    def digest(path: bytes, status: os.stat_result) -> bytes:
        nonlocal done
        found = file_digest(os.path.join(os.fsencode(root), path))
        done += status.st_size
        if progress:
            progress(done)
        return found

    return _content(root, digest)


def walk(root: Path) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield path and status of all that is below ``root`` in its file system, folders before their content."""
    top = os.fsencode(root)
    device = os.lstat(top).st_dev
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(top, folder) if folder else top) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            path = os.path.join(folder, entry.name)
            if path in _NO_CONTENT:
                continue
            status = entry.stat(follow_symlinks=False)
            yield path, status
            if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                waiting.append(path)


def file_digest(path: bytes) -> bytes:
    """Return the SHA-256 of a file; holes of sparse files count as zeros."""
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while count := os.readv(handle, [buffer]):
            hasher.update(buffer[:count])
    finally:
        os.close(handle)
    return hasher.digest()


def _content(root: Path, digest: Callable[[bytes, os.stat_result], bytes]) -> Content:
    entries: dict[bytes, bytes] = {}
    total = 0
    # Names of one file share its digest: each file is read once.
    seen: dict[int, bytes] = {}
    for path, status in walk(root):
        body = b""
        if stat.S_ISREG(status.st_mode):
            if status.st_ino not in seen:
                seen[status.st_ino] = digest(path, status)
                total += status.st_size
            body = seen[status.st_ino]
            if status.st_nlink == 1:
                del seen[status.st_ino]
        elif stat.S_ISLNK(status.st_mode):
            body = os.readlink(os.path.join(os.fsencode(root), path))
        entries[path] = _entry(os.path.join(os.fsencode(root), path), status, body)
    return Content(entries, total)


def _entry(path: bytes, status: os.stat_result, body: bytes) -> bytes:
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    head = f"{status.st_mode:o} {status.st_uid} {status.st_gid} {size} {status.st_rdev} ".encode("ascii")
    return hashlib.sha256(head + body + b"\0" + _attributes(path)).digest()


def _attributes(path: bytes) -> bytes:
    """Return the extended attributes (capabilities, ACLs, labels) as one text."""
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
        pairs = [os.fsencode(name) + b"=" + os.getxattr(path, name, follow_symlinks=False) for name in names]
    except OSError:
        return b""
    return b"\0".join(pairs)
