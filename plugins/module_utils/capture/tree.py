# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading inside a root that need not be ``/``: links are followed as the system in it would.

An absolute link in a new root mounted at ``/run/…/new`` points into that root, never into the
system that does the work.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

#: More links than this in one path are a loop, as for the kernel (``path_resolution(7)``).
MAXIMUM_LINKS = 40


def inside(root: Path, path: str, *, follow_last: bool = True) -> Path:
    """Return where ``path`` of the system under ``root`` lies, with links kept inside ``root``.

    The path need not exist. ``OSError`` for a loop of links.
    """
    waiting = [part for part in path.split("/") if part not in ("", ".")]
    done: list[str] = []
    links = 0
    while waiting:
        part = waiting.pop(0)
        if part == "..":
            del done[-1:]
            continue
        here = root.joinpath(*done, part)
        if here.is_symlink() and (waiting or follow_last):
            links += 1
            if links > MAXIMUM_LINKS:
                raise OSError(f"too many levels of symbolic links: {path}")
            target = os.readlink(here)
            if target.startswith("/"):
                done = []
            waiting = [word for word in target.split("/") if word not in ("", ".")] + waiting
            continue
        done.append(part)
    return root.joinpath(*done)


def exists(root: Path, path: str) -> bool:
    return inside(root, path).exists()


def read_bytes(root: Path, path: str) -> bytes | None:
    """Return the content of a regular file, ``None`` where there is none."""
    found = inside(root, path)
    return found.read_bytes() if found.is_file() else None


def read_text(root: Path, path: str) -> str:
    """Return the text of a file, ``""`` where there is none; odd bytes survive a round trip."""
    content = read_bytes(root, path)
    return "" if content is None else content.decode("utf-8", "surrogateescape")


def read_link(root: Path, path: str) -> str:
    """Return the target of a link as it is written, ``""`` where ``path`` is no link."""
    found = inside(root, path, follow_last=False)
    return os.readlink(found) if found.is_symlink() else ""


def names(root: Path, path: str) -> list[str]:
    """Return the sorted names in a folder, none where there is no such folder."""
    found = inside(root, path)
    return sorted(entry.name for entry in found.iterdir()) if found.is_dir() else []


_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def assignments(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield ``(line number, key, value)`` of a file of shell assignments, unquoted.

    Such files (``sysconfig``, ``/etc/default``) are sourced by a shell; only plain assignments are
    understood, anything else is passed over.
    """
    for number, line in enumerate(text.splitlines(), 1):
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            continue
        try:
            words = shlex.split(match.group(2), comments=True)
        except ValueError:
            words = [match.group(2).strip().strip("'\"")]
        yield number, match.group(1), words[0] if words else ""


def settings(text: str) -> dict[str, str]:
    """Return the assignments of a file; the last one of a key holds, as in the shell."""
    return {key: value for _number, key, value in assignments(text)}
