# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes volumes and file systems anew after a cut, without a look at what it left of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from ..archive.durable import write_all
from ..disk import sysfs
from ..faults import disk as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedFileSystem, ResolvedLayout, is_due
from ..layout.resolve import PHYSICAL_VOLUME_HEADER
from ..runner import Runner
from . import filesystems, lvm

_MOMENT = "convert"
_SETTLE = ("udevadm", "settle", "--timeout=30")


def forget(
    runner: Runner, node: str, resolved: ResolvedLayout, keep: Collection[str] = (), *, root: Path = sysfs.ROOT
) -> None:
    """Overwrite the beginning of every new partition, so that no tool finds half a volume or file system.

    LVM is not asked: half-written metadata is what it might stumble over. Its mapped devices are removed
    by device-mapper, then its labels and metadata go with the first megabyte, which holds nothing else
    (the data begins behind it). ``keep`` are the UUIDs of partitions that stay as they are. Nothing
    else of the disk is touched: the lifeboat lies in it. Raises ``disk.unwritable``.
    """
    name = sysfs.require_disk(node, root)
    for one in reversed(sysfs.tree(name, root)):
        mapped, _uuid = sysfs.mapper(one, root)
        if mapped:
            runner.run(["dmsetup", "remove", "--retry", mapped])
    kept = {uuid.lower() for uuid in keep}
    for partition in resolved.partitions:
        if is_due(partition.at, _MOMENT) and partition.uuid.lower() not in kept:
            size = partition.sectors * resolved.sector_bytes
            _clear(root / resolved.device(node, partition.id).lstrip("/"), min(size, PHYSICAL_VOLUME_HEADER))
    runner.run(list(_SETTLE), accept=(0, 1))


def activate(runner: Runner, resolved: ResolvedLayout) -> None:
    """Activate the volume groups that exist by now; those that are active already stay so."""
    for group in resolved.volume_groups:
        if is_due(group.at, _MOMENT):
            runner.run(lvm.activate(group.name))
    runner.run(list(_SETTLE), accept=(0, 1))


def make_file_systems(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    systems: Iterable[ResolvedFileSystem],
    keep: Collection[str] = (),
) -> None:
    """Make file systems over whatever is there, except those on partitions whose UUID is in ``keep``."""
    kept = {uuid.lower() for uuid in keep}
    for system in systems:
        if any(one.id == system.on and one.uuid.lower() in kept for one in resolved.partitions):
            continue
        device = resolved.device(node, system.on)
        runner.run(["wipefs", "--all", "--force", device])
        runner.run(filesystems.make_argv(system, device))
    runner.run(list(_SETTLE), accept=(0, 1))


def _clear(path: Path, count: int) -> None:
    try:
        with path.open("r+b", buffering=0) as stream:
            write_all(stream.fileno(), memoryview(bytes(count)))
            os.fsync(stream.fileno())
    except OSError as error:
        raise Fault(kinds.UNWRITABLE, node=path, error=error.strerror or error) from error
