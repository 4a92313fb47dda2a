# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel says of block devices, read from /sys and the database of udev.

Works without any tool and on old kernels; ``root`` is ``/`` except in tests. Sizes in /sys are in
units of 512 bytes whatever the sector size (kernel documentation, ABI/stable/sysfs-block).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..faults import disk as kinds
from ..faults.fault import Fault

UNIT = 512
ROOT = Path("/")

#: Devices under /sys/block that are no disks of their own.
_NOT_DISKS = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd|drbd|mtdblock)\d|nvme\d+c\d+n\d+|mmcblk\d+(boot|rpmb)")


@dataclass(frozen=True)
class KernelPartition:
    """A partition as the kernel has it; start and size in bytes."""

    name: str
    number: int
    start_bytes: int
    size_bytes: int


def read(root: Path, path: str) -> str:
    """Return the stripped text of a file, or an empty text where it cannot be read."""
    try:
        return (root / path).read_text(encoding="utf-8", errors="replace").strip(" \t\r\n\0")
    except OSError:
        return ""


def read_number(root: Path, path: str) -> int:
    text = read(root, path)
    return int(text) if text.lstrip("-").isdigit() else 0


def listing(root: Path, path: str) -> list[str]:
    """Return the sorted names in a directory, none where there is none."""
    try:
        return sorted(one.name for one in (root / path).iterdir())
    except OSError:
        return []


def kernel_name(node: str, root: Path = ROOT) -> str:
    """Return the kernel's name of a device node, following links like /dev/disk/by-id/…"""
    path = root / node.lstrip("/")
    try:
        resolved = path.resolve(strict=True)
    except OSError:
        resolved = path
    try:
        relative = resolved.relative_to((root / "dev").resolve())
    except ValueError:
        return resolved.name
    return str(relative).replace("/", "!")


def node_of(name: str) -> str:
    """Return the node of a kernel name; the kernel writes ``!`` for a slash (cciss!c0d0)."""
    return "/dev/" + name.replace("!", "/")


def disks(root: Path = ROOT) -> list[str]:
    """Return the kernel names of all disks that have a size."""
    return [
        name
        for name in listing(root, "sys/block")
        if not _NOT_DISKS.match(name) and read_number(root, f"sys/block/{name}/size") > 0
    ]


def require_disk(node: str, root: Path = ROOT) -> str:
    """Return the kernel name of a whole disk; raises ``disk.no_such_disk``."""
    name = kernel_name(node, root)
    if not (root / "sys/block" / name).is_dir():
        partition = (root / "sys/class/block" / name / "partition").exists()
        reason = "It is a partition." if partition else "The kernel knows no disk of this name."
        raise Fault(kinds.NO_SUCH_DISK, node=node, reason=reason)
    return name


def size_bytes(name: str, root: Path = ROOT) -> int:
    return read_number(root, f"sys/class/block/{name}/size") * UNIT


def sector_bytes(name: str, root: Path = ROOT) -> int:
    """Return the bytes of a logical sector."""
    return read_number(root, f"sys/block/{name}/queue/logical_block_size") or UNIT


def partitions(name: str, root: Path = ROOT) -> list[KernelPartition]:
    """Return the partitions that the kernel has of a disk, by number."""
    found = []
    for child in listing(root, f"sys/block/{name}"):
        base = f"sys/block/{name}/{child}"
        number = read_number(root, f"{base}/partition")
        if number:
            start = read_number(root, f"{base}/start") * UNIT
            found.append(KernelPartition(child, number, start, read_number(root, f"{base}/size") * UNIT))
    return sorted(found, key=lambda part: part.number)


def holders(name: str, root: Path = ROOT) -> list[str]:
    """Return what stands directly on a device: device-mapper and md devices."""
    return listing(root, f"sys/class/block/{name}/holders")


def slaves(name: str, root: Path = ROOT) -> list[str]:
    """Return the devices directly under a device-mapper or md device."""
    return listing(root, f"sys/class/block/{name}/slaves")


def tree(name: str, root: Path = ROOT) -> list[str]:
    """Return the disk, its partitions and everything standing on them, lowest first."""
    found = [name, *(part.name for part in partitions(name, root))]
    for one in found:
        found += [holder for holder in holders(one, root) if holder not in found]
    return found


def parent_disks(name: str, root: Path = ROOT) -> set[str]:
    """Return the kernel names of the disks that a partition or stacked device lies on."""
    below = slaves(name, root)
    if below:
        return set().union(*(parent_disks(one, root) for one in below))
    if (root / "sys/class/block" / name / "partition").exists():
        return {(root / "sys/class/block" / name).resolve().parent.name}
    return {name}


def device_number(name: str, root: Path = ROOT) -> str:
    """Return ``major:minor``."""
    return read(root, f"sys/class/block/{name}/dev")


def mapper(name: str, root: Path = ROOT) -> tuple[str, str]:
    """Return name and uuid of a device-mapper device; the uuid starts with LVM-, CRYPT- or mpath-."""
    return read(root, f"sys/class/block/{name}/dm/name"), read(root, f"sys/class/block/{name}/dm/uuid")


def udev_properties(name: str, root: Path = ROOT) -> dict[str, str]:
    """Return what udev noted of a block device; empty where udev does not run."""
    text = read(root, f"run/udev/data/b{device_number(name, root)}")
    lines = [line[2:].partition("=") for line in text.splitlines() if line.startswith("E:")]
    return {key: value for key, _equals, value in lines}


def links(name: str, directory: str, root: Path = ROOT) -> list[str]:
    """Return the links to a device in a directory like ``dev/disk/by-id``, as absolute paths."""
    wanted = (root / "dev" / name.replace("!", "/")).resolve()
    found = []
    for link in listing(root, directory):
        path = root / directory / link
        if path.is_symlink() and path.resolve() == wanted:
            found.append(f"/{directory}/{link}")
    return found
