# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is a disk in use? Mounts, swap, holders, and whoever has it open exclusively."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from . import sysfs


@dataclass(frozen=True)
class Mount:
    """One line of /proc/self/mountinfo (proc(5)), with its escapes resolved."""

    device_number: str
    target: str
    fstype: str
    source: str
    options: str
    root: str


@dataclass(frozen=True)
class Use:
    """What uses a device: ``/dev/vda1 mounted at /``."""

    node: str
    by: str

    def __str__(self) -> str:
        return f"{self.node} {self.by}"


def mounts(root: Path = sysfs.ROOT) -> list[Mount]:
    """Return what is mounted, in the order of mounting."""
    found = []
    for line in sysfs.read(root, "proc/self/mountinfo").splitlines():
        left, _dash, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if len(fields) < 6 or len(tail) < 2:
            continue
        options = ",".join(dict.fromkeys([*fields[5].split(","), *tail[-1].split(",")]))
        found.append(
            Mount(
                device_number=fields[2],
                target=unescape(fields[4]),
                fstype=tail[0],
                source=unescape(tail[1]),
                options=options,
                root=unescape(fields[3]),
            )
        )
    return found


def unescape(text: str) -> str:
    """Undo the octal escapes of /proc files (``\\040`` is a space)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def swaps(root: Path = sysfs.ROOT) -> list[str]:
    """Return the nodes of active swap devices and files."""
    lines = sysfs.read(root, "proc/swaps").splitlines()[1:]
    return [unescape(line.split()[0]) for line in lines if line.split()]


def uses(node: str, root: Path = sysfs.ROOT) -> list[Use]:
    """Return everything that uses a disk, its partitions or what stands on them."""
    name = sysfs.kernel_name(node, root)
    found: list[Use] = []
    mounted = mounts(root)
    swapping = {sysfs.kernel_name(one, root) for one in swaps(root)}
    for one in sysfs.tree(name, root):
        number, device = sysfs.device_number(one, root), sysfs.node_of(one)
        found += [
            Use(device, f"mounted at {mount.target}")
            for mount in mounted
            if mount.device_number == number or _names(mount, one, root)
        ]
        if one in swapping:
            found.append(Use(device, "used as swap"))
        for holder in sysfs.holders(one, root):
            label = sysfs.mapper(holder, root)[0] or holder
            found.append(Use(device, f"held by {label}"))
    if not found and _held_exclusively(root / node.lstrip("/")):
        found.append(Use(node, "opened exclusively by another program"))
    return found


def _names(mount: Mount, name: str, root: Path) -> bool:
    """btrfs has device numbers of its own, so its mounts are known by their source alone."""
    return mount.source.startswith("/dev/") and sysfs.kernel_name(mount.source, root) == name


def _held_exclusively(path: Path) -> bool:
    """Try to open a block device exclusively, which the kernel refuses while a holder claims it."""
    try:
        if not stat.S_ISBLK(path.stat().st_mode):
            return False
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False
