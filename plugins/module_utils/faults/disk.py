# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of disks, partition tables, volumes and file systems."""

from __future__ import annotations

from .fault import FaultKind

NOT_FOUND = FaultKind(
    id="disk.not_found",
    phase="attach",
    what="The planned disk is not here: {wanted}",
    why="These disks were seen, and why each is not it: {seen}",
    how="If the disk was exchanged or enlarged since preflight, run preflight and stage again; if it is "
    "missing, check that the bundle's kernel has its driver. Nothing was written.",
)
IN_DOUBT = FaultKind(
    id="disk.in_doubt",
    phase="attach",
    what="It is not sure which disk is the planned one ({wanted})",
    why="{doubt}",
    how="Detach the disk that is a copy, or give its partition table another id (sgdisk --disk-guid=R for "
    "GPT, or the disk identifier of the MBR), then run preflight and stage again. Nothing was written.",
)
NO_SUCH_DISK = FaultKind(
    id="disk.no_such_disk",
    phase="partition",
    what="{node} is not a whole disk of this host",
    why="{reason}",
    how="Name the disk by a path under /dev/disk/by-id that ends in no partition number; lsblk lists them.",
)
UNREADABLE = FaultKind(
    id="disk.unreadable",
    phase="preflight",
    what="{node} cannot be read: {error}",
    why="The disk or its connection is failing, or its driver is.",
    how="Look at the kernel log of the host, replace what fails, and run again.",
)
UNWRITABLE = FaultKind(
    id="disk.unwritable",
    phase="partition",
    what="{node} cannot be written: {error}",
    why="The disk is read-only, or it or its connection is failing.",
    how="Look at the kernel log of the host, replace what fails, and run again.",
)
WRONG_GEOMETRY = FaultKind(
    id="disk.wrong_geometry",
    phase="partition",
    what="{node} has {found_bytes} bytes in sectors of {found_sector}, the plan was made for {wanted_bytes} "
    "in sectors of {wanted_sector}",
    why="A layout is resolved for one exact disk; on another, partitions would lie outside of it.",
    how="Run preflight and stage again, so that the plan is made for the disk as it is now.",
)
IN_USE = FaultKind(
    id="disk.in_use",
    phase="partition",
    what="{node} is in use: {uses}",
    why="Replacing the table of a disk in use destroys what runs from it.",
    how="Unmount, swap off or deactivate what is named, or name another disk. Adding partitions is allowed "
    "on a disk in use.",
)
RELABEL_REFUSED = FaultKind(
    id="disk.relabel_refused",
    phase="partition",
    what="{node} already holds {found}, which is not what is wanted: {differences}",
    why="An existing table or signature is never replaced unless that is asked for.",
    how="Make sure that the disk is the right one and its content is not needed, then set relabel to true.",
)
OVERLAP = FaultKind(
    id="disk.overlap",
    phase="partition",
    what="Partition {number} would overlap partition {other} on {node}",
    why="The table in use on the disk is not the one that this layout was resolved for.",
    how="Compare the two tables in the difference that check mode shows, and correct the layout.",
)
NO_ARRAY_ROOM = FaultKind(
    id="disk.no_array_room",
    phase="partition",
    what="Partition {number} of {node} at sectors {found} leaves no room for the partition table; usable are {usable}",
    why="A new table is written beside the one in use and switched on by one sector, so that a power cut leaves "
    "the old or the new one; a partition lies where it would be written.",
    how="Move the partition that begins too early or ends too late, or use a layout without it. Nothing was written.",
)
READ_BACK = FaultKind(
    id="disk.read_back",
    phase="partition",
    what="The partition table of {node}, read back after writing, is not what was written: {differences}",
    why="The disk did not keep the write, or another program changed the table meanwhile.",
    how="Look at the kernel log for errors of the disk; if there are none, run the step again.",
)
NODES_MISSING = FaultKind(
    id="disk.nodes_missing",
    phase="partition",
    what="The kernel did not take over new partitions of {node} within {seconds} s: {missing}",
    why="A program holds an old partition of the disk open, or udev is not working.",
    how="Find the holder with lsblk and fuser, end it and run the step again; a reboot helps as well.",
)
NODES_LEFT = FaultKind(
    id="disk.nodes_left",
    phase="partition",
    what="The kernel still has partitions of {node} that have not been in the table for {seconds} s: {left}",
    why="A program holds them open, or udev is not working; what lies in their place cannot be used before they go.",
    how="Find the holder with lsblk and fuser, end it and run the step again; a reboot helps as well.",
)
TABLE_FILE = FaultKind(
    id="disk.table_file",
    phase="partition",
    what="{path} is not a partition table saved with sgdisk --backup: {reason}",
    why="Only a file with intact checksums is ever written to a disk.",
    how="Save the table again with sgdisk --backup={path} on a disk whose sgdisk --verify is clean.",
)
SPANS_DISKS = FaultKind(
    id="disk.spans_disks",
    phase="partition",
    what="{what_kind} {name} of the planned disk {node} also lives on {others}",
    why="Tearing it down would touch a disk that is not part of the plan.",
    how="Move it off the planned disk (for LVM: pvmove, then vgreduce), or convert this host by hand.",
)
FOREIGN_SIGNATURE = FaultKind(
    id="volumes.foreign_signature",
    phase="volumes",
    what="{device} holds {found}, but {wanted} is planned there",
    why="Data that is not of this layout is never overwritten unless that is asked for.",
    how="Check what it is; if it is not needed, wipe it with wipefs --all {device}, or allow replacing.",
)
GROUP_NAME_TAKEN = FaultKind(
    id="volumes.group_name_taken",
    phase="volumes",
    what="A volume group named {group} already exists on {devices}",
    why="Two groups of one name cannot be told apart at boot.",
    how="Rename the other group (vgrename), or detach its disk, or name the group of the layout otherwise.",
)
GROUP_MISSING_DEVICE = FaultKind(
    id="volumes.device_missing",
    phase="volumes",
    what="{device}, on which {wanted} is planned, does not exist",
    why="The partition or volume below it was not made, or udev has not made its node.",
    how="Look at the partition table and at lvs; make what is missing, then run the step again.",
)
GROUP_DIFFERS = FaultKind(
    id="volumes.group_differs",
    phase="volumes",
    what="Volume group {group} is not as planned: {difference}",
    why="Its extent size or its disks were chosen otherwise when it was made and cannot be changed in place.",
    how="Correct the layout to what is there, or allow replacing, which destroys the group.",
)
VOLUME_LARGER = FaultKind(
    id="volumes.volume_larger",
    phase="volumes",
    what="Volume {volume} has {found} bytes, more than the {wanted} that are planned",
    why="A volume is only created or grown; making it smaller can destroy its file system.",
    how="Raise its size in the layout to what is there, or allow replacing, which destroys its content.",
)
UNKNOWN_FILE_SYSTEM = FaultKind(
    id="volumes.unknown_file_system",
    phase="volumes",
    what="No program is known that makes a file system of kind {file_system} on {device}",
    why="Only ext4, xfs, vfat and swap are made by this collection.",
    how="Correct the kind in the layout.",
)
KINDS = (
    NOT_FOUND,
    IN_DOUBT,
    NO_SUCH_DISK,
    UNREADABLE,
    UNWRITABLE,
    WRONG_GEOMETRY,
    IN_USE,
    RELABEL_REFUSED,
    OVERLAP,
    NO_ARRAY_ROOM,
    READ_BACK,
    NODES_MISSING,
    NODES_LEFT,
    TABLE_FILE,
    SPANS_DISKS,
    FOREIGN_SIGNATURE,
    GROUP_NAME_TAKEN,
    GROUP_MISSING_DEVICE,
    GROUP_DIFFERS,
    VOLUME_LARGER,
    UNKNOWN_FILE_SYSTEM,
)
