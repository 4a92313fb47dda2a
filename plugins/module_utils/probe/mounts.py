# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is mounted, on which device, and what lies between a file system and its disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..disk.probe import probe
from ..disk.usage import Mount, mounts
from ..runner import Runner


@dataclass(frozen=True)
class Place:
    """The file system that holds a path; ``inside`` is the path within that file system.

    ``stack`` names the layers from the top down: ``lvm``, ``crypt``, ``md``, ``mpath``, ``part``,
    ``disk``. ``disks`` are kernel names.
    """

    mount: Mount
    device: str
    uuid: str
    inside: str
    stack: tuple[str, ...]
    disks: tuple[str, ...]
    size_bytes: int
    free_bytes: int


def read_mounts(root: Path = sysfs.ROOT) -> list[dict[str, Any]]:
    """Return ``{target, device, fstype, options}`` of every mount."""
    return [
        {
            "target": one.target,
            "device": device_of(one, root),
            "fstype": one.fstype,
            "options": one.options,
        }
        for one in mounts(root)
    ]


def place_of(runner: Runner, path: str, root: Path = sysfs.ROOT) -> Place | None:
    """Return where an absolute path lies, or None where nothing is known to be mounted."""
    holding = [one for one in mounts(root) if is_inside(path, one.target)]
    if not holding:
        return None
    # The longest mount point holds the path; of several mounts on one point, the last is seen.
    mount = max(enumerate(holding), key=lambda item: (len(item[1].target.rstrip("/")), item[0]))[1]
    device = device_of(mount, root)
    relative = path[len(mount.target.rstrip("/")) :]
    name = sysfs.kernel_name(device, root) if device.startswith("/dev/") else ""
    known = bool(name) and (root / "sys/class/block" / name).exists()
    size, free = space(root / path.lstrip("/"))
    return Place(
        mount=mount,
        device=device,
        uuid=probe(runner, device).uuid if known else "",
        inside=(mount.root.rstrip("/") + relative).rstrip("/"),
        stack=tuple(stack_of(name, root)) if known else (),
        disks=tuple(sorted(sysfs.parent_disks(name, root))) if known else (),
        size_bytes=size,
        free_bytes=free,
    )


def device_of(mount: Mount, root: Path = sysfs.ROOT) -> str:
    """Return the node of a mounted device by its number: the source may be ``/dev/root``."""
    link = root / "sys/dev/block" / mount.device_number
    if not link.exists():
        return mount.source
    name = link.resolve().name
    mapped = sysfs.mapper(name, root)[0]
    return f"/dev/mapper/{mapped}" if mapped else sysfs.node_of(name)


def stack_of(name: str, root: Path = sysfs.ROOT) -> list[str]:
    """Return the layers from a device down to its disk."""
    if (root / "sys/class/block" / name / "partition").exists():
        return ["part"]
    below = sysfs.slaves(name, root)
    if not below:
        return ["disk"]
    return [_layer(name, root), *stack_of(below[0], root)]


def is_inside(path: str, target: str) -> bool:
    return target == "/" or path == target or path.startswith(target.rstrip("/") + "/")


def space(path: Path) -> tuple[int, int]:
    """Return the size of a file system and what root may still use, in bytes."""
    try:
        found = os.statvfs(path)
    except OSError:
        return 0, 0
    return found.f_blocks * found.f_frsize, found.f_bfree * found.f_frsize


def _layer(name: str, root: Path) -> str:
    _mapped, uuid = sysfs.mapper(name, root)
    for prefix, layer in (("LVM-", "lvm"), ("CRYPT-", "crypt"), ("mpath-", "mpath")):
        if uuid.startswith(prefix):
            return layer
    return "md" if name.startswith("md") else "dm"
