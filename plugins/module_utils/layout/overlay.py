# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a slot's root is mounted: written to, or read only below an overlay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import FileSystem, ResolvedFileSystem, ResolvedLayout

#: Written to; or read only below an overlay whose upper part lies in memory or on the data volume.
MODES = ("rw", "overlay-tmpfs", "overlay-data")
#: Of an upper part in memory: a part of the memory, or bytes; tmpfs(5), option ``size``.
MEMORY = re.compile(r"(?:100|[1-9]\d?)%|[1-9]\d{0,15}")
#: A path that a shell and the options of a mount take as it is.
PERSISTENT = re.compile(r"(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+")
#: Kinds whose files can be the upper part of an overlay (overlayfs.rst: extended attributes and d_type).
UPPER_KINDS = ("ext4", "xfs")
#: What the kernel owns, what must be read before anything is mounted, and what is in memory anyhow.
NEVER = ("/boot", "/dev", "/proc", "/run", "/sys", "/tmp")
#: Where the initramfs leaves what an overlay is made of: the slot's own root, an upper part in memory, the data.
PLACE = "/run/dualroot/root"
LOWER = f"{PLACE}/lower"
UPPER = f"{PLACE}/upper"
DATA = f"{PLACE}/data"


@dataclass(frozen=True)
class Overlay:
    """How a slot's root is mounted.

    ``mode`` is one of ``MODES``. ``data`` is the id of what holds all that persists, empty where nothing does;
    ``memory`` limits an upper part in memory (``50%`` of it, or bytes); ``persist`` are the folders that persist
    although the rest lies in memory.
    """

    mode: str = "rw"
    data: str = ""
    memory: str = "50%"
    persist: tuple[str, ...] = ()

    @property
    def read_only(self) -> bool:
        return self.mode != "rw"

    @property
    def needs_data(self) -> bool:
        return self.mode == "overlay-data" or bool(self.persist)


def mode_of(upper: str | None) -> str:
    """Return the mode that an overlay's upper part tells, ``rw`` where there is no overlay."""
    if upper is None:
        return "rw"
    return "overlay-data" if inside(upper, DATA) else "overlay-tmpfs" if inside(upper, UPPER) else f"overlay of {upper}"


def inside(path: str, other: str) -> bool:
    """Tell whether a path is ``other`` or lies in it."""
    return path == other or path.startswith(other + "/")


def holds_uppers(system: FileSystem | ResolvedFileSystem) -> bool:
    """Tell whether upper parts can lie on a file system: it is there from the start, and every system mounts it."""
    return system.kind in UPPER_KINDS and bool(system.mount) and system.at == "convert"


def problems(layout: ResolvedLayout) -> Iterator[str]:
    """Yield what is wrong with the overlays of a resolved layout, each with its path."""
    roots = {slot.root for slot in layout.slots.values()}
    for slot, value in layout.slots.items():
        overlay, path = value.overlay, f".slots.{slot}.overlay"
        if overlay.mode not in MODES:
            yield f"{path}.mode: must be one of {', '.join(MODES)}"
        if not MEMORY.fullmatch(overlay.memory):
            yield f"{path}.memory: must be a part of the memory, or bytes"
        for one in overlay.persist:
            if not PERSISTENT.fullmatch(one) or any(inside(one, other) for other in NEVER):
                yield f"{path}.persist: must be absolute paths of plain characters, and none of {', '.join(NEVER)}"
        held = [one for one in layout.file_systems if one.on == overlay.data]
        if overlay.needs_data and not (held and holds_uppers(held[0]) and held[0].on not in (*roots, layout.dispatch)):
            yield f"{path}.data: must hold a mounted file system of its own"
