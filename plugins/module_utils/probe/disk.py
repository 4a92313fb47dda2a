# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a whole disk into the words of the resolved layout: table, groups, volumes, file systems."""

from __future__ import annotations

from pathlib import Path

from ..disk import sysfs
from ..disk.nodes import partition_node, volume_node
from ..disk.probe import probe
from ..disk.read import read_disk
from ..disk.usage import mounts
from ..faults import command
from ..faults.fault import Fault
from ..layout.observed import (
    Observed,
    ObservedFileSystem,
    ObservedPartition,
    ObservedVolume,
    ObservedVolumeGroup,
)
from ..runner import Runner
from ..volumes import lvm

#: What blkid finds on a partition that belongs to a layer above, and is no file system itself.
_LAYERS = ("LVM2_member", "crypto_LUKS", "linux_raid_member", "several", "")


def read_layout(runner: Runner, disk_node: str, root: Path = sysfs.ROOT) -> Observed:
    """Return what is on the disk now, for ``layout.diff.diff``. Read-only.

    Raises ``disk.no_such_disk``, ``disk.unreadable``, ``command.failed``.
    """
    name = sysfs.require_disk(disk_node, root)
    node = sysfs.node_of(name)
    table = read_disk(node, root)
    groups = _groups(runner, name, root)
    devices = [partition_node(node, number) for number in table.numbers]
    devices += [volume_node(group.name, volume.name) for group in groups for volume in group.volumes]
    return Observed(
        node=node,
        table=table.kind,
        disk_guid=table.gpt.disk_guid if table.gpt else "",
        sector_bytes=table.sector_bytes,
        disk_bytes=table.size_bytes,
        partitions=tuple(
            ObservedPartition(
                number=entry.number,
                name=entry.name,
                type_guid=entry.type_guid,
                start_lba=entry.first_lba,
                sectors=entry.sectors,
                uuid=entry.uuid,
                attributes=entry.attribute_bits,
            )
            for entry in table.entries
        ),
        volume_groups=groups,
        file_systems=tuple(_file_systems(runner, devices, root)),
        problems=table.problems,
        overlays={one.target: _upper(one.options) for one in mounts(root) if one.fstype == "overlay"},
    )


def _upper(options: str) -> str:
    """Return ``upperdir`` of an overlay's options (overlayfs.rst), empty where it has none."""
    words = (word.partition("=") for word in options.split(","))
    return next((value for name, _equals, value in words if name == "upperdir"), "")


def _groups(runner: Runner, name: str, root: Path) -> tuple[ObservedVolumeGroup, ...]:
    """Return the groups with at least one physical volume on the disk."""
    try:
        physical = lvm.physical_volumes(runner)
    except Fault as fault:
        if fault.kind is command.MISSING:
            return ()
        raise
    numbers = {part.name: part.number for part in sysfs.partitions(name, root)}
    known = [(one, sysfs.kernel_name(one.node, root)) for one in physical]
    logical = lvm.logical_volumes(runner)
    found = []
    for group in lvm.groups(runner):
        members = [(one, where) for one, where in known if one.group == group.name]
        here = tuple(sorted(numbers[where] for _one, where in members if where in numbers))
        if not here:
            continue
        found.append(
            ObservedVolumeGroup(
                name=group.name,
                extent_bytes=group.extent_bytes,
                partitions=here,
                foreign=tuple(one.node for one, where in members if where not in numbers),
                volumes=tuple(
                    ObservedVolume(one.name, one.size_bytes // group.extent_bytes, one.size_bytes)
                    for one in logical
                    if one.group == group.name
                ),
            )
        )
    return tuple(found)


def _file_systems(runner: Runner, devices: list[str], root: Path) -> list[ObservedFileSystem]:
    mounted = mounts(root)
    found = []
    for device in devices:
        if not (root / device.lstrip("/")).exists():
            continue
        signature = probe(runner, device)
        if signature.kind in _LAYERS:
            continue
        number = sysfs.device_number(sysfs.kernel_name(device, root), root)
        targets = tuple(one.target for one in mounted if one.device_number == number and one.root == "/")
        found.append(ObservedFileSystem(device, signature.kind, signature.label, signature.uuid, targets))
    return found
