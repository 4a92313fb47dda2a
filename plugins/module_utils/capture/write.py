# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing into a root: whole files, atomically, with their mode from the first moment."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from .tree import inside


class Writer:
    """Writes into ``root`` and remembers in ``written`` what it changed, as paths of that root.

    Nothing is rewritten that is already as wanted, so a second run changes nothing. A file comes
    into being with mode 0600 under a name of its own, gets owner and content, then its mode, and
    then its name; so no secret is readable by others for a moment, and no file is ever half. That
    name is always the same: what a power cut has left of it is gone when the file is written again,
    and no copy of a key stays behind.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.written: list[str] = []

    def file(self, path: str, content: bytes | str, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> bool:
        """Make ``path`` a regular file; links on the way are followed, the last one as well."""
        return self._file(path, inside(self.root, path), content, mode, uid, gid)

    def own_file(self, path: str, content: bytes | str, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> bool:
        """Make ``path`` itself a regular file; a link of that name is replaced."""
        return self._file(path, inside(self.root, path, follow_last=False), content, mode, uid, gid)

    def _file(self, path: str, target: Path, content: bytes | str, mode: int, uid: int, gid: int) -> bool:
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        if _is_file(target, data, mode, uid, gid):
            return False
        self._make_parents(target)
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        temporary = _temporary(target)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.chown(temporary, uid, gid)
                stream.write(data)
                stream.flush()
                os.chmod(temporary, mode)
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.written.append(path)
        return True

    def link(self, path: str, to: str) -> bool:
        """Make ``path`` a symbolic link to ``to``, in place of whatever file is there."""
        target = inside(self.root, path, follow_last=False)
        if target.is_symlink() and os.readlink(target) == to:
            return False
        self._make_parents(target)
        temporary = _temporary(target)
        os.symlink(to, temporary)
        os.replace(temporary, target)
        self.written.append(path)
        return True

    def folder(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0, keep: bool = False) -> bool:
        """Make ``path`` a folder of that mode and owner; ``keep`` leaves one that exists as it is."""
        target = inside(self.root, path)
        if target.is_dir():
            status = target.stat()
            found = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
            if keep or found == (mode, uid, gid):
                return False
        else:
            self._make_parents(target)
            target.mkdir(0o700)
        os.chown(target, uid, gid)
        target.chmod(mode)
        self.written.append(path)
        return True

    def remove(self, path: str) -> bool:
        """Remove a file or link; a folder of that name is left."""
        target = inside(self.root, path, follow_last=False)
        if not target.is_symlink() and not target.is_file():
            return False
        target.unlink()
        self.written.append(path)
        return True

    def _make_parents(self, target: Path) -> None:
        missing = []
        folder = target.parent
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for entry in reversed(missing):
            entry.mkdir()
            entry.chmod(0o755)


def _temporary(target: Path) -> Path:
    """Return the name under which a file comes into being, free of what an earlier try has left there."""
    temporary = target.with_name(f".{target.name}.dualroot")
    temporary.unlink(missing_ok=True)
    return temporary


def _is_file(target: Path, data: bytes, mode: int, uid: int, gid: int) -> bool:
    if target.is_symlink() or not target.is_file():
        return False
    status = target.stat()
    if (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) != (mode, uid, gid):
        return False
    return status.st_size == len(data) and target.read_bytes() == data
