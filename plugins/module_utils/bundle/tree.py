# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From an unpacked distribution tree, keep what is named and what that needs.

Keeping named programs with their libraries (as dracut does) stays small when packages grow;
removing named ballast would not.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faults import bundle as kinds
from ..faults.fault import Fault
from . import cpio, elf

PROGRAM_FOLDERS = ("usr/bin", "usr/sbin")
LIBRARY_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/usr/lib", "/usr/lib64")


@dataclass(frozen=True)
class Selection:
    """What to keep; every path is relative to the tree, without a leading slash.

    ``programs``: names in the program folders. ``files``: globs; a folder brings all below it.
    ``without``: patterns (fnmatch, ``*`` crosses slashes) that are left out of ``files``.
    ``libraries``: names of libraries that programs open at run time without naming them.
    """

    programs: Sequence[str]
    files: Sequence[str]
    without: Sequence[str] = ()
    libraries: Sequence[str] = ()


def select(tree: Path, selection: Selection) -> set[Path]:
    """Return the files to keep; raises ``bundle.program_missing`` with all that are not there."""
    missing: list[str] = []
    kept: set[Path] = set()
    for name in selection.programs:
        found = next((tree / folder / name for folder in PROGRAM_FOLDERS if _exists(tree / folder / name)), None)
        if found is None:
            missing.append(name)
        else:
            kept.add(found)
    for pattern in selection.files:
        matches = list(tree.glob(pattern))
        if not matches:
            missing.append(pattern)
        kept.update(item for match in matches for item in _below(match) if not _left_out(tree, item, selection))
    for name in selection.libraries:
        found = next(
            (elf.inside(tree, folder) / name for folder in LIBRARY_FOLDERS if _exists(elf.inside(tree, folder) / name)),
            None,
        )
        if found is None:
            missing.append(name)
        else:
            kept.add(found)
    if missing:
        raise Fault(kinds.PROGRAM_MISSING, paths=", ".join(missing))
    real = {elf.inside(tree, "/" + str(path.relative_to(tree))) for path in kept}
    files = [path for path in real if path.is_file()]
    return kept | elf.closure(tree, files, LIBRARY_FOLDERS)


def copy(tree: Path, target: Path, paths: Iterable[Path]) -> None:
    """Copy ``paths`` of ``tree`` into ``target``, following no link but bringing its target too."""
    for path in sorted(paths):
        _copy_one(tree, target, path)


def _copy_one(tree: Path, target: Path, path: Path) -> None:
    source = _real_folder(tree, path) / path.name
    destination = target / source.relative_to(tree)
    if destination.is_symlink() or destination.exists():
        return
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        destination.symlink_to(source.readlink())
        pointed = elf.inside(tree, "/" + str(source.relative_to(tree)))
        if pointed.exists() and pointed != source and not pointed.is_dir():
            _copy_one(tree, target, pointed)
    elif source.is_dir():
        destination.mkdir(exist_ok=True)
    else:
        shutil.copyfile(source, destination)
        destination.chmod(0o755 if source.stat().st_mode & 0o111 else 0o644)


def overlay(source: Path, target: Path) -> None:
    """Copy a folder of own files over ``target``; executable bits are kept, all else is 0644."""
    for path in cpio.walk(source):
        destination = target / path.relative_to(source)
        if path.is_symlink():
            destination.unlink(missing_ok=True)
            destination.symlink_to(path.readlink())
        elif path.is_dir():
            destination.mkdir(parents=True, exist_ok=True)
        else:
            destination.unlink(missing_ok=True)
            shutil.copyfile(path, destination)
            destination.chmod(0o755 if path.stat().st_mode & 0o111 else 0o644)


def links(target: Path, wanted: Mapping[str, str]) -> None:
    """Make symbolic links ``{path: target}`` where nothing stands yet."""
    for name, pointed in sorted(wanted.items()):
        path = target / name
        if not _exists(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(pointed)


def normalise(target: Path) -> None:
    """Give every folder the mode 0755, whatever the umask of the builder was."""
    target.chmod(0o755)
    for path in cpio.walk(target):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def digest(root: Path) -> str:
    """Return the SHA-256 of a folder's names, executable bits, links and contents."""
    total = hashlib.sha256()
    for path in cpio.walk(root):
        if "__pycache__" in path.parts:
            continue
        info = path.lstat()
        if stat.S_ISDIR(info.st_mode):
            # A version control system keeps no empty folders: only what is in them counts.
            continue
        total.update(str(path.relative_to(root)).encode() + b"\0")
        if stat.S_ISLNK(info.st_mode):
            total.update(b"l" + os.fsencode(path.readlink()))
        elif stat.S_ISREG(info.st_mode):
            total.update(b"x" if info.st_mode & 0o111 else b"f")
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _below(path: Path) -> list[Path]:
    if path.is_dir() and not path.is_symlink():
        return [path, *cpio.walk(path)]
    return [path]


def _left_out(tree: Path, path: Path, selection: Selection) -> bool:
    name = str(path.relative_to(tree))
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in selection.without)


def _real_folder(tree: Path, path: Path) -> Path:
    return elf.inside(tree, "/" + str(path.parent.relative_to(tree)))
