# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tears down what the old system left on a disk: holders first, then signatures, in order.

Nothing on other disks is touched; what also lives on another disk is a fault.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..faults import disk as kinds
from ..faults.fault import Fault
from ..runner import Runner
from ..volumes import lvm
from . import sysfs
from .read import read_disk
from .usage import Use, uses


def check(runner: Runner, node: str, group_names: Collection[str], *, root: Path = sysfs.ROOT) -> None:
    """Raise, while nothing is changed, what ``tear_down`` and the new volume groups would stop at.

    ``group_names`` are the planned ones: a group of that name on another disk cannot be told from the
    new one, by LVM now and by the initramfs at every boot. Raises ``volumes.group_name_taken``,
    ``disk.spans_disks``.
    """
    name = sysfs.require_disk(node, root)
    volumes = _volumes(runner, root)
    for group in sorted(group_names):
        others = [one.node for one, parents in volumes if one.group == group and name not in parents]
        if others:
            raise Fault(kinds.GROUP_NAME_TAKEN, group=group, devices=", ".join(others))
    _groups(volumes, node, name)


def tear_down(
    runner: Runner,
    node: str,
    *,
    keep: Collection[str] = (),
    keep_at: Collection[int] = (),
    root: Path = sysfs.ROOT,
) -> list[str]:
    """Deactivate all that stands on the disk and wipe the signatures of its partitions.

    ``keep`` are the UUIDs of GPT partitions that the new table keeps with their content (an ESP), ``keep_at`` the
    bytes of the disk at which others begin that stay (the old root, which an MBR gives no UUID). The partition
    table itself is left to the one write that replaces it. Returns what was done, a line each; a second call finds
    nothing and does nothing. Raises ``disk.in_use``, ``disk.spans_disks``.
    """
    name = sysfs.require_disk(node, root)
    _require_unused(node, root)
    done = [*_deactivate_groups(runner, node, name, root), *_remove_holders(runner, node, name, root)]
    for device in _devices(node, name, keep, keep_at, root):
        if runner.run(["wipefs", "--noheadings", device]).stdout.strip():
            runner.run(["wipefs", "--all", "--force", device])
            done.append(f"wiped the signatures of {device}")
    if done:
        runner.run(["udevadm", "settle", "--timeout=30"], accept=(0, 1))
    return done


def _require_unused(node: str, root: Path) -> None:
    """Mounts and swap are in the way; holders are what this module is there to remove."""
    held = [use for use in uses(node, root) if not _is_holder(use)]
    if held:
        raise Fault(kinds.IN_USE, node=node, uses=", ".join(map(str, held)))


def _is_holder(use: Use) -> bool:
    return use.by.startswith("held by ")


def _deactivate_groups(runner: Runner, node: str, name: str, root: Path) -> list[str]:
    touched = _groups(_volumes(runner, root), node, name)
    for group in touched:
        runner.run(["lvm", "vgchange", "--activate", "n", group])
    return [f"deactivated volume group {group}" for group in touched]


def _volumes(runner: Runner, root: Path) -> list[tuple[lvm.PhysicalVolume, set[str]]]:
    """Return the physical volumes of all groups, each with the disks that it lies on."""
    return [(one, _parents(one.node, root)) for one in lvm.physical_volumes(runner) if one.group]


def _groups(volumes: list[tuple[lvm.PhysicalVolume, set[str]]], node: str, name: str) -> list[str]:
    """Return the groups on a disk; raises ``disk.spans_disks`` where one lies on another disk too."""
    touched = sorted({one.group for one, parents in volumes if name in parents})
    for group in touched:
        others = [one.node for one, parents in volumes if one.group == group and parents != {name}]
        if others:
            raise Fault(kinds.SPANS_DISKS, what_kind="Volume group", name=group, node=node, others=", ".join(others))
    return touched


def _remove_holders(runner: Runner, node: str, name: str, root: Path) -> list[str]:
    """Remove what LVM did not: encrypted devices, arrays, leftovers; highest first."""
    done = []
    for one in reversed(sysfs.tree(name, root)):
        if one == name or (root / "sys/class/block" / one / "partition").exists():
            continue
        others = sorted(sysfs.parent_disks(one, root) - {name})
        if others:
            raise Fault(
                kinds.SPANS_DISKS,
                what_kind="Device",
                name=sysfs.mapper(one, root)[0] or one,
                node=node,
                others=", ".join(map(sysfs.node_of, others)),
            )
        done.append(_remove_holder(runner, one, root))
    return done


def _remove_holder(runner: Runner, name: str, root: Path) -> str:
    mapped, _uuid = sysfs.mapper(name, root)
    if mapped:
        runner.run(["dmsetup", "remove", "--retry", mapped])
        return f"removed mapped device {mapped}"
    # "clear" stops an array without mdadm; kernel documentation, admin-guide/md.
    (root / f"sys/class/block/{name}/md/array_state").write_text("clear\n")
    return f"stopped array {name}"


def _devices(node: str, name: str, keep: Collection[str], keep_at: Collection[int], root: Path) -> list[str]:
    """Return the partitions but those to keep, or the disk itself where it has no table."""
    parts = sysfs.partitions(name, root)
    table = read_disk(node, root)
    if not parts and table.kind == "none":
        return [sysfs.node_of(name)]
    uuids = {uuid.upper() for uuid in keep}
    # By place, not by number: the kernel may still have an older table than the disk.
    kept = {one.first_lba * table.sector_bytes for one in table.entries if one.uuid.upper() in uuids} | set(keep_at)
    if table.kind == "dos" and table.mbr is not None:
        # A kernel that was told "gpt" shows the partitions of a stale GPT instead, which may begin anywhere: inside
        # of the lifeboat too. What they held is overwritten where the new partitions begin.
        known = {one.first_lba * table.sector_bytes for one in table.mbr.entries}
        kept |= {part.start_bytes for part in parts} - known
    return [sysfs.node_of(part.name) for part in parts if part.start_bytes not in kept]


def _parents(node: str, root: Path) -> set[str]:
    return sysfs.parent_disks(sysfs.kernel_name(node, root), root)
