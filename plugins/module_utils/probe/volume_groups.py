# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The volume groups of a host and the disks below them, as far as its own LVM can tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..faults.fault import Fault
from ..runner import CommandFailed, Runner
from ..volumes import lvm


def read_volume_groups(
    runner: Runner, disks: Sequence[dict[str, Any]], root: Path = sysfs.ROOT
) -> list[dict[str, Any]]:
    """Return ``{name, disks}`` of each group; none where nothing looks like LVM, or no LVM is installed.

    Stage two asks again with its own LVM, so that an answer which is missing here costs a restart and no data.
    """
    if not any(_may_hold_lvm(disk) for disk in disks):
        return []
    try:
        volumes = lvm.physical_volumes(runner)
    except (Fault, CommandFailed, ValueError, KeyError):
        return []
    found: dict[str, set[str]] = {}
    for one in volumes:
        if one.group:
            below = sysfs.parent_disks(sysfs.kernel_name(one.node, root), root) if one.node.startswith("/") else set()
            found.setdefault(one.group, set()).update(map(sysfs.node_of, below))
    return [{"name": name, "disks": sorted(nodes)} for name, nodes in sorted(found.items())]


def _may_hold_lvm(disk: dict[str, Any]) -> bool:
    """Tell whether a disk has a physical volume on a partition, or something unknown on the whole of it."""
    return disk["table"] == "other" or any(part["fstype"] == "LVM2_member" for part in disk["partitions"])
