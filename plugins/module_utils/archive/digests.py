# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Digests of the files of an archive, taken from the stream on its way to GNU tar.

What is read back from the disk later is compared with these: a digest of what was just written would only
repeat what memory holds.
"""

from __future__ import annotations

import hashlib


class FileDigests:
    """``found`` maps paths (as the archive has them, without ``./``) to SHA-256 digests.

    Files whose content is not in the stream as it is in the file (sparse ones) are left out.
    """

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] = {}
        self._path = b""
        self._left = 0
        self._hasher = hashlib.sha256()

    @property
    def wants(self) -> int:
        """Return how many bytes of the current file are still to come."""
        return self._left

    def begin(self, path: bytes, size: int) -> None:
        """Begin a regular file; its content follows."""
        self._path, self._left, self._hasher = path, size, hashlib.sha256()
        self._end_if_done()

    def data(self, view: memoryview) -> None:
        """Take the next bytes of the current file; padding behind it is left alone."""
        if not self._left:
            return
        part = view[: self._left]
        self._hasher.update(part)
        self._left -= len(part)
        self._end_if_done()

    def link(self, path: bytes, target: bytes) -> None:
        """Take a hard link: the content is that of its target at this moment."""
        if target in self.found:
            self.found[path] = self.found[target]
        else:
            self.forget(path)

    def forget(self, path: bytes) -> None:
        """Something without a content of its own has that name."""
        self.found.pop(path, None)

    def _end_if_done(self) -> None:
        if not self._left:
            self.found[self._path] = self._hasher.digest()
