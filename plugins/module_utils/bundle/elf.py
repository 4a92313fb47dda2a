# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a program needs to start: shared libraries and loader, read from its ELF headers (elf(5)).

``ldd`` would run the foreign program; reading the dynamic section does not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..faults import bundle as kinds
from ..faults.fault import Fault

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB, DT_RPATH, DT_RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class Needs:
    """Libraries by name, folders to look in first (``$ORIGIN`` unresolved), and the loader."""

    libraries: tuple[str, ...]
    folders: tuple[str, ...]
    loader: str


def read_needs(path: Path) -> Needs | None:
    """Return what the 64-bit ELF file ``path`` asks for, ``None`` for any other file."""
    with path.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return None
        file.seek(0)
        data = file.read()
    headers = _program_headers(data)
    loader = "".join(_text(data, offset) for kind, offset, _address, _size in headers if kind == PT_INTERP)
    tags = [tag for kind, offset, _address, size in headers if kind == PT_DYNAMIC for tag in _tags(data, offset, size)]
    if not tags:
        return Needs((), (), loader)
    strings = _file_offset(headers, next(value for tag, value in tags if tag == DT_STRTAB))
    folders = [_text(data, strings + value) for tag, value in tags if tag in (DT_RPATH, DT_RUNPATH)]
    return Needs(
        tuple(_text(data, strings + value) for tag, value in tags if tag == DT_NEEDED),
        tuple(folder for text in folders for folder in text.split(":")),
        loader,
    )


def closure(root: Path, starts: Iterable[Path], folders: Iterable[str]) -> set[Path]:
    """Return every library and loader that the files ``starts`` need, links included.

    ``starts`` are paths below ``root``; ``folders`` are the library folders as the loader knows
    them. Raises ``bundle.library_missing``: better here than at three in the morning in stage two.
    """
    defaults = tuple(folders)
    found: set[Path] = set()
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        needs = read_needs(inside(root, "/" + str(path.relative_to(root))))
        if needs is None:
            continue
        wanted = [_library(root, path, name, needs.folders + defaults) for name in needs.libraries]
        if needs.loader:
            folder, _slash, name = needs.loader.rpartition("/")
            wanted.append(inside(root, folder) / name)
        for item in wanted:
            if item not in found:
                found.add(item)
                waiting.append(item)
    return found


def inside(root: Path, path: str) -> Path:
    """Resolve an absolute path as a process with ``root`` as its root would, links included."""
    current = Path("/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    hops = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            current = current.parent
            continue
        real = root / (current / part).relative_to("/")
        if not real.is_symlink():
            current = current / part
            continue
        hops += 1
        if hops > 40:
            break
        target = str(real.readlink())
        parts = [piece for piece in target.split("/") if piece not in ("", ".")] + parts
        current = Path("/") if target.startswith("/") else current
    return root / current.relative_to("/")


def _library(root: Path, user: Path, name: str, folders: tuple[str, ...]) -> Path:
    origin = "/" + str(user.parent.relative_to(root))
    for folder in folders:
        candidate = inside(root, folder.replace("$ORIGIN", origin).replace("${ORIGIN}", origin))
        if (candidate / name).exists() or (candidate / name).is_symlink():
            return candidate / name
    raise Fault(kinds.LIBRARY_MISSING, library=name, program="/" + str(user.relative_to(root)))


def _program_headers(data: bytes) -> list[tuple[int, int, int, int]]:
    """Return ``(type, file offset, address, size in file)`` of each program header."""
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    rows = [struct.unpack_from("<IIQQQQ", data, start + index * size) for index in range(count)]
    return [(kind, offset, address, length) for kind, _flags, offset, address, _physical, length in rows]


def _tags(data: bytes, offset: int, size: int) -> list[tuple[int, int]]:
    return [struct.unpack_from("<QQ", data, at) for at in range(offset, offset + size, 16)]


def _file_offset(headers: list[tuple[int, int, int, int]], address: int) -> int:
    for kind, offset, start, size in headers:
        if kind == PT_LOAD and start <= address < start + size:
            return offset + address - start
    return address


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
