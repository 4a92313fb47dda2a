# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of a layout as a whole: ids, references, moments, and what a dual system needs."""

from __future__ import annotations

from collections.abc import Iterable

from .model import TYPE_GUIDS, FileSystem, Layout, VolumeGroup
from .names import MOMENTS, SLOTS
from .reading import Problems, nearest
from .roots import check_overlays

#: Where the dispatch partition is mounted in the new system.
DISPATCH_MOUNT = "/boot/dispatch"

#: What must lie in the slot's own root: the dispatcher reads kernel and slot.cfg there (/boot), and a
#: system finds its fstab in /etc before it mounts anything. The others belong to the kernel.
_OF_THE_ROOT = ("/boot", "/boot/dualroot", "/etc", "/dev", "/proc", "/sys", "/run")


def check(layout: Layout, problems: Problems) -> None:
    """Add every problem that only the whole layout shows."""
    _check_ids(layout, problems)
    _check_partitions(layout, problems)
    for index, group in enumerate(layout.volume_groups):
        _check_group(layout, group, f".volume_groups[{index}]", problems)
    _check_file_systems(layout, problems)
    _check_slots(layout, problems)
    _check_dispatch(layout, problems)
    check_overlays(layout, problems)


def _check_ids(layout: Layout, problems: Problems) -> None:
    places = [(f".partitions[{i}].id", part.id) for i, part in enumerate(layout.partitions)]
    for i, group in enumerate(layout.volume_groups):
        places.append((f".volume_groups[{i}].id", group.id))
        places += [(f".volume_groups[{i}].volumes[{j}].id", one.id) for j, one in enumerate(group.volumes)]
    _check_unique(places, "id", problems)
    names = [(f".volume_groups[{i}].name", group.name) for i, group in enumerate(layout.volume_groups)]
    _check_unique(names, "volume group name", problems)
    for i, group in enumerate(layout.volume_groups):
        volumes = [(f".volume_groups[{i}].volumes[{j}].name", one.name) for j, one in enumerate(group.volumes)]
        _check_unique(volumes, "volume name", problems)


def _check_partitions(layout: Layout, problems: Problems) -> None:
    if not layout.partitions:
        problems.add(".partitions", "at least one partition is needed")
    _check_one_rest([part.size.kind for part in layout.partitions], ".partitions", problems)
    types = {part.type_guid for part in layout.partitions if part.at == "convert"}
    if layout.partitions and not types & {TYPE_GUIDS["bios_boot"], TYPE_GUIDS["esp"]}:
        problems.add(".partitions", "no firmware can boot this: a bios_boot or esp partition is needed")
    members = [one for group in layout.volume_groups for one in group.partitions]
    for index, part in enumerate(layout.partitions):
        if part.type_guid == TYPE_GUIDS["lvm"] and members.count(part.id) != 1:
            problems.add(f".partitions[{index}]", f"lvm partition {part.id!r} must be in exactly one volume group")
    late = False
    for index, part in enumerate(layout.partitions):
        if late and part.at == "convert":
            problems.add(f".partitions[{index}].at", "what is made at convert cannot follow what is made at commit")
        late = late or part.at == "commit"


def _check_group(layout: Layout, group: VolumeGroup, path: str, problems: Problems) -> None:
    parts = {part.id: part for part in layout.partitions}
    for index, one in enumerate(group.partitions):
        where = f"{path}.partitions[{index}]"
        if one not in parts:
            problems.add(where, f"there is no partition {one!r}{nearest(one, parts)}")
        elif parts[one].type_guid != TYPE_GUIDS["lvm"]:
            problems.add(where, f"partition {one!r} is not of type lvm")
        elif _later(parts[one].at, group.at):
            problems.add(where, f"partition {one!r} is made at {parts[one].at}, after its group")
    _check_one_rest([volume.size.kind for volume in group.volumes], f"{path}.volumes", problems)
    for index, volume in enumerate(group.volumes):
        if _later(group.at, volume.at):
            problems.add(f"{path}.volumes[{index}].at", "a volume cannot be made before its group")


def _check_file_systems(layout: Layout, problems: Problems) -> None:
    moments = _moments(layout)
    roots = set(layout.slots.values())
    bare = {TYPE_GUIDS["bios_boot"], TYPE_GUIDS["lvm"]}
    closed = {part.id for part in layout.partitions if part.type_guid in bare}
    mounts = []
    for index, system in enumerate(layout.file_systems):
        path = f".file_systems[{index}]"
        one = system.on
        if one and one not in moments:
            problems.add(f"{path}.on", f"there is no partition or volume {one!r}{nearest(one, moments)}")
        elif one in closed:
            problems.add(f"{path}.on", f"partition {one!r} is of a type that holds no file system")
        elif one and _later(moments[one], system.at):
            problems.add(f"{path}.at", f"{one!r} is made at {moments[one]}, after its file system")
        if system.kind == "swap" and system.mount:
            problems.add(f"{path}.mount", "swap is not mounted")
        if system.mount == "/" and system.on not in roots:
            problems.add(f"{path}.mount", "only the root of a slot is mounted at /")
        if system.on in roots and system.mount != "/":
            problems.add(f"{path}.mount", "the root of a slot is mounted at /")
        if system.mount in _OF_THE_ROOT:
            problems.add(f"{path}.mount", f"{system.mount} must lie in the root of the slot")
        if system.mount and system.mount != "/":
            mounts.append((f"{path}.mount", system.mount))
    _check_unique(mounts, "mount point", problems)
    _check_unique(_places(layout.file_systems, "on"), "file system on", problems)
    _check_unique([one for one in _places(layout.file_systems, "label") if one[1]], "label", problems)


def _check_slots(layout: Layout, problems: Problems) -> None:
    volumes = {volume.id: volume for group in layout.volume_groups for volume in group.volumes}
    systems = {system.on: system for system in layout.file_systems}
    for slot, root in layout.slots.items():
        path = f".slots.{slot}"
        if slot not in SLOTS:
            problems.add(path, f"unknown slot; slots are {' and '.join(SLOTS)}")
        if not root:
            continue
        if root not in volumes:
            problems.add(f"{path}.root", f"there is no volume {root!r}{nearest(root, volumes)}")
        elif root not in systems or systems[root].kind not in ("ext4", "xfs"):
            problems.add(f"{path}.root", f"volume {root!r} needs a file system of kind ext4 or xfs")
        elif slot == "a" and systems[root].at != "convert":
            problems.add(f"{path}.root", "slot a must exist at convert")
    if "a" not in layout.slots:
        problems.add(".slots", "slot a is missing")
    _check_unique([(f".slots.{slot}.root", root) for slot, root in layout.slots.items()], "root", problems)


def _check_dispatch(layout: Layout, problems: Problems) -> None:
    parts = {part.id: part for part in layout.partitions}
    wanted = layout.dispatch
    if not wanted:
        problems.add(".dispatch", "a dispatch partition is needed: nothing else chooses between the slots")
        return
    if wanted not in parts:
        problems.add(".dispatch", f"there is no partition {wanted!r}{nearest(wanted, parts)}")
        return
    system = next((one for one in layout.file_systems if one.on == wanted), None)
    if parts[wanted].at != "convert" or system is None or system.at != "convert":
        problems.add(".dispatch", "the dispatch partition and its file system must be made at convert")
    if system is not None and system.kind != "ext4":
        problems.add(".dispatch", "the boot loader keeps the slot state there, so the kind must be ext4")
    if system is not None and system.mount != DISPATCH_MOUNT:
        problems.add(".dispatch", f"the dispatch partition is mounted at {DISPATCH_MOUNT}")


def _moments(layout: Layout) -> dict[str, str]:
    found = {part.id: part.at for part in layout.partitions}
    found.update({volume.id: volume.at for group in layout.volume_groups for volume in group.volumes})
    return found


def _later(moment: str, other: str) -> bool:
    return MOMENTS.index(moment) > MOMENTS.index(other)


def _places(systems: Iterable[FileSystem], field: str) -> list[tuple[str, str]]:
    return [(f".file_systems[{i}].{field}", getattr(one, field)) for i, one in enumerate(systems)]


def _check_one_rest(sizes: list[str], path: str, problems: Problems) -> None:
    rests = [index for index, kind in enumerate(sizes) if kind == "rest"]
    for index in rests[1:]:
        problems.add(f"{path}[{index}].size", f"only one size can be the rest; {path}[{rests[0]}] has it")


def _check_unique(places: list[tuple[str, str]], what: str, problems: Problems) -> None:
    first: dict[str, str] = {}
    for path, value in places:
        if value and value in first:
            problems.add(path, f"{what} {value!r} is already at {first[value]}")
        elif value:
            first[value] = path
