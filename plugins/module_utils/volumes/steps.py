# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans what volume groups, volumes and file systems still need, without doing it.

Only creates and grows. What is foreign or larger than planned is a fault, unless ``replace`` says
that the planned devices are to be taken over, as in stage two, where the old system is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..disk import sysfs
from ..disk.nodes import volume_node
from ..disk.probe import Signature, probe
from ..faults import disk as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedFileSystem, ResolvedLayout, ResolvedVolume, is_due
from ..runner import Runner
from . import filesystems, lvm


@dataclass(frozen=True)
class GroupTarget:
    """A volume group as it shall be, on ``devices`` (nodes).

    With ``device_extents``, how many each device has, the volumes lie at the extents they were resolved
    to; without, LVM chooses.
    """

    name: str
    extent_bytes: int
    devices: tuple[str, ...]
    volumes: tuple[ResolvedVolume, ...]
    device_extents: tuple[int, ...] = ()


@dataclass(frozen=True)
class SystemTarget:
    device: str
    system: ResolvedFileSystem


@dataclass(frozen=True)
class Target:
    groups: tuple[GroupTarget, ...]
    systems: tuple[SystemTarget, ...]


@dataclass(frozen=True)
class Step:
    """One thing to do: ``text`` for people, and its commands in order."""

    text: str
    commands: tuple[tuple[str, ...], ...]


def target(resolved: ResolvedLayout, node: str, upto: str) -> Target:
    """Return what of a layout is due on the disk at ``node``; what is kept is not to be made."""
    kept = {part.id for part in resolved.partitions if part.kept}
    return Target(
        groups=tuple(
            GroupTarget(
                name=group.name,
                extent_bytes=group.extent_bytes,
                devices=tuple(
                    resolved.device(node, one) for one in group.partitions if is_due(resolved.partition(one).at, upto)
                ),
                volumes=tuple(volume for volume in group.volumes if is_due(volume.at, upto)),
                device_extents=group.partition_extents,
            )
            for group in resolved.volume_groups
            if is_due(group.at, upto)
        ),
        systems=tuple(
            SystemTarget(resolved.device(node, system.on), system)
            for system in resolved.file_systems
            if is_due(system.at, upto) and system.on not in kept
        ),
    )


def plan(
    runner: Runner,
    wanted: Target,
    *,
    replace: bool = False,
    missing_ok: bool = False,
    root: Path = sysfs.ROOT,
) -> list[Step]:
    """Return the steps from what is there to what is wanted; none when nothing is to do.

    ``missing_ok`` (check mode) takes a device that does not exist yet for an empty one.
    Raises ``Fault`` ``volumes.*``.
    """
    planner = _Planner(runner, replace, missing_ok, root)
    for group in wanted.groups:
        planner.group(group)
    for system in wanted.systems:
        planner.file_system(system)
    return planner.steps


@dataclass
class _Planner:
    runner: Runner
    replace: bool
    missing_ok: bool
    root: Path
    steps: list[Step] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    grown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.physical = lvm.physical_volumes(self.runner)
        self.existing = {group.name: group for group in lvm.groups(self.runner)}
        self.logical = {(one.group, one.name): one for one in lvm.logical_volumes(self.runner)}

    def group(self, wanted: GroupTarget) -> None:
        for device in wanted.devices:
            self._require_device(device, f"volume group {wanted.name}")
        if wanted.name in self.existing and self._is_as_planned(wanted):
            self._extend_group(wanted)
        else:
            self._create_group(wanted)
        for volume in wanted.volumes:
            self._volume(wanted, volume)
        known = [one for (group, _name), one in self.logical.items() if group == wanted.name]
        if any(not one.active for one in known):
            self._add(f"activate volume group {wanted.name}", lvm.activate(wanted.name))

    def file_system(self, wanted: SystemTarget) -> None:
        system, device = wanted.system, wanted.device
        text = f"make file system {system.kind} {system.label}".rstrip() + f" on {device}"
        make = filesystems.make_argv(system, device)
        if device in self.fresh or (not self._exists(device) and self.missing_ok):
            self._add(text, make)
            return
        self._require_device(device, f"file system {system.kind}")
        found = probe(self.runner, device)
        if found.kind == system.kind and system.uuid.lower() in ("", found.uuid.lower()):
            self._grow(wanted)
        elif not found.kind:
            self._add(text, make)
        else:
            self._require_replace(device, _shown(found), f"{system.kind} {system.uuid}".strip())
            self._add(text, ["wipefs", "--all", "--force", device], make)

    def _grow(self, wanted: SystemTarget) -> None:
        if wanted.device not in self.grown:
            return
        argv = filesystems.grow_argv(wanted.system.kind, wanted.device, wanted.system.mount)
        if argv:
            self._add(f"grow file system {wanted.system.kind} on {wanted.device}", argv)

    def _is_as_planned(self, wanted: GroupTarget) -> bool:
        """Tell whether the group of that name is ours; with ``replace``, plan to remove it if not."""
        members = [one.node for one in self.physical if one.group == wanted.name]
        names = {sysfs.kernel_name(one, self.root) for one in wanted.devices}
        foreign = [one for one in members if sysfs.kernel_name(one, self.root) not in names]
        if foreign and len(foreign) == len(members):
            raise Fault(kinds.GROUP_NAME_TAKEN, group=wanted.name, devices=", ".join(foreign))
        difference = f"it also has {', '.join(foreign)}" if foreign else ""
        found = self.existing[wanted.name].extent_bytes
        if found != wanted.extent_bytes:
            difference = f"its extents have {found} bytes, not {wanted.extent_bytes}"
        if not difference:
            return True
        if foreign or not self.replace:
            raise Fault(kinds.GROUP_DIFFERS, group=wanted.name, difference=difference)
        self._add(f"remove volume group {wanted.name}", lvm.remove_group(wanted.name))
        self.logical = {key: one for key, one in self.logical.items() if key[0] != wanted.name}
        self.physical = [one for one in self.physical if one.group != wanted.name]
        return False

    def _create_group(self, wanted: GroupTarget) -> None:
        for device in wanted.devices:
            self._physical_volume(device, wanted.name)
        argv = lvm.create_group(wanted.name, wanted.extent_bytes, wanted.devices)
        self._add(f"create volume group {wanted.name}", argv)

    def _extend_group(self, wanted: GroupTarget) -> None:
        members = {sysfs.kernel_name(one.node, self.root) for one in self.physical if one.group == wanted.name}
        new = [one for one in wanted.devices if sysfs.kernel_name(one, self.root) not in members]
        for device in new:
            self._physical_volume(device, wanted.name)
        if new:
            text = f"extend volume group {wanted.name} to {', '.join(new)}"
            self._add(text, lvm.extend_group(wanted.name, new))

    def _physical_volume(self, device: str, group: str) -> None:
        name = sysfs.kernel_name(device, self.root)
        known = [one for one in self.physical if sysfs.kernel_name(one.node, self.root) == name]
        if any(not one.group for one in known):
            return
        commands: list[Sequence[str]] = []
        found = probe(self.runner, device) if self._exists(device) else Signature()
        if known or found.kind:
            what = f"volume group {known[0].group}" if known else _shown(found)
            self._require_replace(device, what, f"volume group {group}")
            commands.append(["wipefs", "--all", "--force", device])
        commands.append(lvm.create_physical_volume(device, force=bool(commands)))
        self._add(f"create physical volume {device}", *commands)

    def _volume(self, group: GroupTarget, wanted: ResolvedVolume) -> None:
        node, label = volume_node(group.name, wanted.name), f"volume {group.name}/{wanted.name}"
        found = self.logical.get((group.name, wanted.name))
        create = lvm.create_volume(group.name, wanted.name, wanted.extents, self._places(group, wanted))
        if found is None:
            self._add(f"create {label}", create)
            self.fresh.add(node)
            return
        extents = found.size_bytes // group.extent_bytes
        if extents < wanted.extents:
            self._add(f"grow {label}", lvm.extend_volume(group.name, wanted.name, wanted.extents))
            self.grown.add(node)
        elif extents > wanted.extents:
            if not self.replace:
                raise Fault(
                    kinds.VOLUME_LARGER,
                    volume=f"{group.name}/{wanted.name}",
                    found=found.size_bytes,
                    wanted=wanted.bytes,
                )
            self._add(f"replace {label}", lvm.remove_volume(group.name, wanted.name), create)
            self.fresh.add(node)

    def _places(self, group: GroupTarget, wanted: ResolvedVolume) -> list[str]:
        """A group whose volumes are of other sizes was not made by this layout: its extents are taken otherwise."""
        planned = {one.name: one.extents for one in group.volumes}
        for (name, volume), one in self.logical.items():
            if name == group.name and planned.get(volume) != one.size_bytes // group.extent_bytes and not self.replace:
                return []
        return lvm.places(group.devices, group.device_extents, wanted.first, wanted.extents)

    def _require_device(self, device: str, wanted: str) -> None:
        if not self._exists(device) and not self.missing_ok:
            raise Fault(kinds.GROUP_MISSING_DEVICE, device=device, wanted=wanted)

    def _require_replace(self, device: str, found: str, wanted: str) -> None:
        if not self.replace:
            raise Fault(kinds.FOREIGN_SIGNATURE, device=device, found=found, wanted=wanted)

    def _exists(self, device: str) -> bool:
        return (self.root / device.lstrip("/")).exists()

    def _add(self, text: str, *commands: Sequence[str]) -> None:
        self.steps.append(Step(text, tuple(tuple(argv) for argv in commands)))


def _shown(found: Signature) -> str:
    kind = "several signatures" if found.kind == "several" else found.kind
    return " ".join(part for part in (kind, found.label, found.uuid) if part)
