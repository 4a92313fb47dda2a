# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of making a host restorable."""

from __future__ import annotations

from .fault import FaultKind

NO_ROOM = FaultKind(
    id="snapshot.no_room",
    phase="snapshot",
    what="The archive of the old root needs about {needed}, and {directory} has {free} free",
    why="The archive is made on the host before the controller fetches it.",
    how="Free some space on the host, set dualroot_snapshot_directory to a file system with room, or use the"
    " provider command with a snapshot of the hypervisor.",
)
ARCHIVE_FAILED = FaultKind(
    id="snapshot.archive_failed",
    phase="snapshot",
    what="tar could not archive the old root: {problem}",
    why="A file could not be read, or the space ran out.",
    how="Look at the message, mend the file or free space, then run again; nothing else was changed.",
)
DIGEST = FaultKind(
    id="snapshot.digest_mismatch",
    phase="snapshot",
    what="The fetched file {file} has another digest than on the host",
    why="It was damaged or cut off on the way; a restore from it would fail.",
    how="Check the free space of the report folder on the controller, then run again.",
)
DISK_UNREADABLE = FaultKind(
    id="snapshot.disk_unreadable",
    phase="snapshot",
    what="{disk} could not be read: {problem}",
    why="Partition table and boot sectors must be saved before the disk is changed.",
    how="Check the disk with smartctl and the kernel log; do not migrate a host with a failing disk.",
)
COMMAND_FAILED = FaultKind(
    id="snapshot.command_failed",
    phase="snapshot",
    what="The snapshot command {command} ended with status {returncode}",
    why="It said: {problem}",
    how="Run the command by hand on the controller, mend it, then run again; the host was not changed.",
)
KINDS = (NO_ROOM, ARCHIVE_FAILED, DIGEST, DISK_UNREADABLE, COMMAND_FAILED)
