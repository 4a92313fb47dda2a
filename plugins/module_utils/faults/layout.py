# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the layout: a document that cannot be used, or a disk that cannot hold it."""

from __future__ import annotations

from .fault import FaultKind

INVALID = FaultKind(
    id="layout.invalid",
    phase="preflight",
    what="The layout has {count} error(s): {problems}",
    why="A layout is checked as a whole before anything is resolved, and every error is named with its path.",
    how="Correct the named places of the layout file; docs/layouts.md shows every key. Then run again.",
)
DISK_TOO_SMALL = FaultKind(
    id="layout.disk_too_small",
    phase="preflight",
    what="Layout {layout} does not fit on a disk of {disk}: it needs {missing} more",
    why="{reason}",
    how="Enlarge the disk by at least {missing}, or make fixed sizes of the layout smaller, and run again.",
)
GROUP_TOO_SMALL = FaultKind(
    id="layout.group_too_small",
    phase="preflight",
    what="The volumes of volume group {group} do not fit into its {available}: {missing} are missing",
    why="{reason}",
    how="Enlarge the disk or the partitions of the group, or make its volumes smaller, and run again.",
)
UNREADABLE = FaultKind(
    id="layout.unreadable",
    phase="attach",
    what="The resolved layout of the plan cannot be read: {problem}",
    why="The plan was written by another version of the collection, or it was damaged on its way.",
    how="Run preflight and stage again, so that a new plan is made; nothing was written to the disk.",
)
NO_ESP = FaultKind(
    id="layout.no_esp",
    phase="preflight",
    what="Layout {layout} has no EFI system partition, and the host is started by UEFI",
    why="The firmware starts a host from a file on an EFI system partition; without one it would find nothing.",
    how="Set dualroot_layout to a layout with a partition of type esp, as the shipped layout dual has.",
)
NO_ROOM_BESIDE_ESP = FaultKind(
    id="layout.no_room_beside_esp",
    phase="preflight",
    what="Partition {partition} of layout {layout} does not fit beside the EFI system partition: {missing} are missing",
    why="That partition stays where it is, and the space before and behind it is not one piece.",
    how="Make the fixed sizes of the layout smaller by at least {missing}, or enlarge the disk, and run again.",
)
OLD_NOT_BESIDE = FaultKind(
    id="layout.old_not_beside",
    phase="preflight",
    what="Layout {layout} leaves no place in which the old system could stay until commit: {reason}",
    why="The old root stays where the one partition lies that the layout makes at commit, of what the disk has left.",
    how="Set dualroot_layout to a layout with one partition of size rest that is made at commit, as the shipped layout"
    " va has, or set dualroot_keep_old: none.",
)
NO_ROOM_BESIDE_OLD = FaultKind(
    id="layout.no_room_beside_old",
    phase="preflight",
    what="{what_needs} needs {needed}, and layout {layout} leaves {found} on this disk: {missing} are missing",
    why="The old root stays where it begins until commit, and what is made at convert lies behind it.",
    how="Free space on the old root, make the sizes of the layout smaller, or enlarge the disk, each by at least"
    " {missing}; or set dualroot_keep_old: none.",
)
KINDS = (
    INVALID,
    DISK_TOO_SMALL,
    GROUP_TOO_SMALL,
    UNREADABLE,
    NO_ESP,
    NO_ROOM_BESIDE_ESP,
    OLD_NOT_BESIDE,
    NO_ROOM_BESIDE_OLD,
)
