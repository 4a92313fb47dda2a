# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the proof that the new system is what was planned."""

from __future__ import annotations

from .fault import FaultKind

WRONG_SYSTEM = FaultKind(
    id="verify.wrong_system",
    phase="verify",
    what="The host does not run the planned system: {problem}",
    why="The kernel's dualroot arguments name slot and run of what was booted, and they are not the plan's.",
    how="Look at `cat /proc/cmdline` and at /boot/dispatch/state on the host; reboot it once more if a "
    "person chose another "
    "entry at the console, then run again.",
)
DISK_MISSING = FaultKind(
    id="verify.disk_missing",
    phase="verify",
    what="No disk of the host has the planned partition table {disk_guid}",
    why="The table was not written, or was changed since.",
    how="Compare `sgdisk -p` of the system disk with the plan in the report folder; do not reboot the "
    "host before that.",
)
LAYOUT_DIFFERS = FaultKind(
    id="verify.layout_differs",
    phase="verify",
    what="{count} point(s) of the disk are not as planned: {differences}",
    why="A step wrote something else, or somebody changed the disk since.",
    how="A slot on trial stays so: mend the differences (sgdisk_apply and lvm_layout show them with "
    "--check --diff; one damaged copy of the partition table is written anew from the other by "
    "`sgdisk --move-second-header /dev/DISK` on the host) and run again, or reboot into the recovery system.",
)
CONFIGURATION_DIFFERS = FaultKind(
    id="verify.configuration_differs",
    phase="verify",
    what="{count} point(s) of the configuration did not come over: {differences}",
    why="The new system renders or starts something differently from what was captured.",
    how="Mend the named settings on the host (the slot stays on trial until then) and run again; please "
    "report the source "
    "configuration, so that it becomes a test.",
)
HEALTH = FaultKind(
    id="verify.unhealthy",
    phase="verify",
    what="The health command ended with status {returncode}: {command}",
    why="{output}",
    how="The slot is given up: the host restarts into its good slot, or into the recovery system where there is none. "
    "Read the journal of the new system there, mend the payload or the command, and migrate again. With "
    "dualroot_give_up_unhealthy: false the new system keeps running for a look, and the next run verifies it again.",
)
NO_RECORD = FaultKind(
    id="verify.no_record",
    phase="verify",
    what="The new system has no record of run {run_id}: {problem}",
    why="Stage two writes it as its last act before it hands over; without it `seal` did not end.",
    how="Look at the console log of the conversion; rerun verify after the cause is known.",
)
KINDS = (WRONG_SYSTEM, DISK_MISSING, LAYOUT_DIFFERS, CONFIGURATION_DIFFERS, HEALTH, NO_RECORD)
