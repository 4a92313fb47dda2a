# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Volume groups and file systems given directly to a task, without a layout of a whole disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..disk.nodes import volume_node
from ..faults import disk as disk_kinds
from ..faults import layout as kinds
from ..faults.fault import Fault
from ..layout.loader import DEFAULT_EXTENT, read_size
from ..layout.model import LABEL_LENGTHS, ResolvedFileSystem, Volume, VolumeGroup
from ..layout.reading import Node, Problems
from ..layout.resolve import PHYSICAL_VOLUME_HEADER, resolve_group
from ..units import parse_size
from .steps import GroupTarget, SystemTarget, Target

_GROUP = ("name", "devices", "extent", "volumes")
_VOLUME = ("name", "size", "file_system")
_SYSTEM = ("kind", "label", "uuid")
_DEVICE_SYSTEM = ("device", *_SYSTEM)


def read(groups: Sequence[Any], systems: Sequence[Any], *, missing_ok: bool = False, root: Path = sysfs.ROOT) -> Target:
    """Return what a task asks for, sizes resolved to the devices as they are.

    Raises ``layout.invalid`` with every problem, ``layout.group_too_small``,
    ``volumes.device_missing``.
    """
    problems = Problems()
    wishes = [_group(value, f".volume_groups[{i}]", problems) for i, value in enumerate(groups)]
    targets = [target for _group_wish, targets in wishes for target in targets]
    for index, value in enumerate(systems):
        node = Node(value, f".file_systems[{index}]", _DEVICE_SYSTEM, problems)
        targets.append(SystemTarget(node.text("device"), _system(node)))
    if problems.found:
        raise Fault(kinds.INVALID, count=len(problems.found), problems="; ".join(map(str, problems.found)))
    return Target(groups=tuple(_resolved(wish, missing_ok, root) for wish, _systems in wishes), systems=tuple(targets))


def _group(value: Any, path: str, problems: Problems) -> tuple[VolumeGroup, list[SystemTarget]]:
    node = Node(value, path, _GROUP, problems)
    name = node.text("name")
    devices = tuple(str(item) for _where, item in node.items("devices"))
    volumes, systems = [], []
    for where, item in node.items("volumes", required=False):
        one = Node(item, where, _VOLUME, problems)
        volume = one.text("name")
        volumes.append(Volume(volume, volume, read_size(one), "convert", 0))
        if one.has("file_system"):
            system = Node(one.raw("file_system"), f"{where}.file_system", _SYSTEM, problems)
            systems.append(SystemTarget(volume_node(name, volume), _system(system)))
    if sum(volume.size.kind == "rest" for volume in volumes) > 1:
        problems.add(f"{path}.volumes", "only one size can be the rest")
    return VolumeGroup(name, name, devices, _extent(node), "convert", tuple(volumes)), systems


def _extent(node: Node) -> int:
    if not node.has("extent"):
        return DEFAULT_EXTENT
    try:
        extent = parse_size(node.raw("extent"))
    except ValueError as error:
        node.problems.add(f"{node.path}.extent", str(error))
        return DEFAULT_EXTENT
    if extent < 1 << 20 or extent & (extent - 1):
        node.problems.add(f"{node.path}.extent", "must be a power of two of at least 1 MiB")
        return DEFAULT_EXTENT
    return extent


def _system(node: Node) -> ResolvedFileSystem:
    kind = node.choice("kind", tuple(LABEL_LENGTHS))
    label = node.text("label", "")
    if len(label.encode()) > LABEL_LENGTHS.get(kind, 16):
        node.problems.add(f"{node.path}.label", f"is longer than {LABEL_LENGTHS.get(kind, 16)} bytes")
    return ResolvedFileSystem("", kind, label, node.text("uuid", ""), "", "", "convert")


def _resolved(wish: VolumeGroup, missing_ok: bool, root: Path) -> GroupTarget:
    extents = []
    for device in wish.partitions:
        size = sysfs.size_bytes(sysfs.kernel_name(device, root), root)
        if not size and not missing_ok:
            raise Fault(disk_kinds.GROUP_MISSING_DEVICE, device=device, wanted=f"volume group {wish.name}")
        extents.append(max(size - PHYSICAL_VOLUME_HEADER, 0) // wish.extent_bytes)
    if not sum(extents):  # check mode, before the devices exist: nothing can be resolved yet
        return GroupTarget(wish.name, wish.extent_bytes, wish.partitions, ())
    group = resolve_group(wish, extents)
    return GroupTarget(group.name, group.extent_bytes, group.partitions, group.volumes)


def steps_document(steps: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return planned steps as a task returns them."""
    return [{"text": step.text, "commands": [list(argv) for argv in step.commands]} for step in steps]
