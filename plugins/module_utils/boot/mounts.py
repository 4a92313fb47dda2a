# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mounts of this system as the kernel tells them (proc(5), mountinfo): old hosts have no findmnt --json."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """``root`` is the folder of the file system that is mounted; ``options`` are the mount's own."""

    device: tuple[int, int]
    root: str
    target: str
    options: tuple[str, ...]
    fstype: str
    source: str

    @property
    def read_only(self) -> bool:
        return "ro" in self.options


def parse(text: str) -> tuple[Mount, ...]:
    """Return the mounts in their order; a later one hides an earlier one of the same target."""
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        major, minor = words[2].split(":")
        rest = words[words.index("-", 6) + 1 :]
        found.append(
            Mount(
                device=(int(major), int(minor)),
                root=_unescape(words[3]),
                target=_unescape(words[4]),
                options=tuple(words[5].split(",")),
                fstype=rest[0],
                source=_unescape(rest[1]),
            )
        )
    return tuple(found)


def find(path: Path, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """Return the mount that holds ``path``, or None where the kernel does not tell."""
    wanted = os.path.realpath(path)
    best = None
    for mount in parse(mountinfo.read_text("utf-8", "surrogateescape")):
        inside = wanted == mount.target or wanted.startswith(mount.target.rstrip("/") + "/")
        if inside and (best is None or len(mount.target) >= len(best.target)):
            best = mount
    return best


def path_on_device(path: Path, mount: Mount) -> str:
    """Return ``path`` as a path inside the file system that ``mount`` shows."""
    relative = os.path.relpath(os.path.realpath(path), mount.target)
    return os.path.normpath(os.path.join(mount.root, relative))


def _unescape(text: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match.group(1), 8)), text)
