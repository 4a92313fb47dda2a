# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Device node names: how the kernel and LVM call disks, partitions and volumes."""

from __future__ import annotations

import re

_PARTITION = re.compile(
    r"(?P<disk>(?:/dev/)?(?:(?:nvme\d+n\d+|mmcblk\d+|loop\d+|nbd\d+|md\d+|pmem\d+)(?=p\d)"
    r"|(?:sd|vd|xvd|hd)[a-z]+))p?(?P<number>\d+)"
)


def partition_node(disk_node: str, number: int) -> str:
    """Return the node of a partition: ``p`` stands between where the disk's name ends in a digit.

    Source: ``disk_name()`` in the kernel's ``block/partitions/core.c``.
    """
    return f"{disk_node}p{number}" if disk_node[-1].isdigit() else f"{disk_node}{number}"


def split_partition(node: str) -> tuple[str, int] | None:
    """Return disk and number of a partition's node or name, or None where it is no partition."""
    match = _PARTITION.fullmatch(node)
    return (match.group("disk"), int(match.group("number"))) if match else None


def volume_node(group: str, volume: str) -> str:
    """Return the node of a logical volume."""
    return f"/dev/{group}/{volume}"


def mapper_name(group: str, volume: str) -> str:
    """Return the device-mapper name of a logical volume; hyphens are doubled (lvm(8))."""
    return f"{group.replace('-', '--')}-{volume.replace('-', '--')}"
