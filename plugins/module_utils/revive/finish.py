# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In the old system again: overwrite the lifeboat, which holds keys of the host, and let the root grow to what it was.

In this order: as soon as the file system has grown over the place of the lifeboat, its bytes are the file system's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import sync_directory
from ..disk import identity, sysfs
from ..disk.nodes import partition_node
from ..faults import revive as kinds
from ..faults.fault import Fault
from ..lifeboat.disk import write_extent
from ..run_folders import RUNS
from ..runner import Runner
from . import superblock

#: In the folder of its run, from stage two on until all of this is done: the controller may not live to see it.
UNFINISHED = "unfinished"
_CHUNK = 1 << 20
_HEAD = 8192


def left_over(root: Path = sysfs.ROOT) -> dict[str, Any] | None:
    """Return the plan of the restore that is not finished on this host, as it lies in the folder of its run.

    Raises ``Fault`` ``revive.not_old_system`` where there is one and its plan cannot be read.
    """
    marks = sorted((root / RUNS).glob(f"*/{UNFINISHED}"))
    if not marks:
        return None
    path = marks[-1].with_name("plan.json")
    try:
        plan: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Fault(kinds.NOT_REVIVED, problem=f"{path} cannot be read: {error}") from error
    return plan


def pending(runner: Runner, plan: Mapping[str, Any], root: Path = sysfs.ROOT) -> str:
    """Return the partition whose file system has to grow, empty where it is what it was.

    Raises ``disk.*`` where the disk is not surely the planned one, ``revive.not_old_system``.
    """
    return _look(runner, plan, root)[1]


def _look(runner: Runner, plan: Mapping[str, Any], root: Path) -> tuple[str, str]:
    old = plan["old"]["root"]
    node = identity.find(runner, {**plan["disk"], "table_id": "", "root_uuid": old["uuid"]}, root=root)
    name = sysfs.kernel_name(node, root)
    numbers = [part.number for part in sysfs.partitions(name, root) if part.start_bytes == old["start"]]
    if len(numbers) != 1:
        raise Fault(kinds.NOT_REVIVED, problem=f"No partition of {node} begins where the old root did")
    device = partition_node(node, numbers[0])
    found = _read(device, root)
    return node, device if found.blocks < old["grown"] else ""


def finish(runner: Runner, plan: Mapping[str, Any], root: Path = sysfs.ROOT) -> str:
    """Do what is pending and return the partition that has grown; a second call finds nothing."""
    node, device = _look(runner, plan, root)
    if device:
        _grow(runner, plan, node, device, root)
    mark = root / RUNS / plan["run_id"] / UNFINISHED
    if mark.exists():
        mark.unlink()
        sync_directory(mark.parent)
    return device


def _grow(runner: Runner, plan: Mapping[str, Any], node: str, device: str, root: Path) -> None:
    old = plan["old"]["root"]
    end = old["start"] + _read(device, root).bytes
    disk = root / node.lstrip("/")
    for first, length in plan["lifeboat"]["gaps"]:
        # What begins before the end of the file system belongs to it already.
        for start in range(first, first + length if first >= end else first, _CHUNK):
            write_extent(disk, start, bytes(min(_CHUNK, first + length - start)))
    runner.run(["resize2fs", device, str(old["grown"])])


def _read(device: str, root: Path) -> superblock.Superblock:
    with (root / device.lstrip("/")).open("rb", buffering=0) as stream:
        found = superblock.read(stream.read(_HEAD))
    if found is None:
        raise Fault(kinds.NOT_REVIVED, problem=f"{device} holds no ext4")
    return found
