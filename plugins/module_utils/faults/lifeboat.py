# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the lifeboat: finding its place, writing it, reading it, booting from it."""

from __future__ import annotations

from .fault import FaultKind

INVALID = FaultKind(
    id="lifeboat.invalid",
    phase="attach",
    what="The description of the lifeboat cannot be used: {problems}",
    why="It says where on the disk every part lies, and nothing is read or written by a description that is in doubt.",
    how="Run stage again, so that the lifeboat is placed and described anew; nothing was written by this description.",
)
NO_ROOM = FaultKind(
    id="lifeboat.no_room",
    phase="stage",
    what="Part {part} of the lifeboat does not fit: {missing} are missing in the places that were found",
    why="The lifeboat lies in blocks that the old system does not use and the new layout does not write to, and it "
    "needs {needed} there; less is free than when preflight looked, or it lies in too many small pieces.",
    how="Free at least {missing} on the old root and run again, or give up the lifeboat with "
    "dualroot_lifeboat: none (the payload is then held in RAM, and a power cut after the point of no return is not "
    "survived).",
)
FILE_SYSTEM = FaultKind(
    id="lifeboat.file_system",
    phase="stage",
    what="The file system of the old root cannot hold the lifeboat: {problem}",
    why="Stage two reads the lifeboat from the bare disk, so every block of its file must have a known place of its "
    "own; ext4 and XFS, directly on a partition, give that.",
    how="Leave unpartitioned space or swap enough for the lifeboat, or give it up with dualroot_lifeboat: none (the "
    "payload is then held in RAM, and a power cut after the point of no return is not survived).",
)
NOT_ON_DISK = FaultKind(
    id="lifeboat.not_on_disk",
    phase="stage",
    what="Part {part} of the lifeboat was written to {node} and reads back differently: {problem}",
    why="After writing and flushing, every part is read from the disk itself, past the memory of the system.",
    how="Look at the kernel log for input/output errors and at the disk's health with smartctl, and that the old root "
    "is not encrypted or stacked. Nothing else was changed; disarm takes the staging back.",
)
PLACE_TAKEN = FaultKind(
    id="lifeboat.place_taken",
    phase="stage",
    what="A place for the lifeboat is in use: bytes {start} to {end} of {node}, by {user}",
    why="The disk is not as it was when the plan was made. Nothing is written where anything else may lie.",
    how="Run preflight again, which looks for room anew, and then stage.",
)
KINDS = (INVALID, NO_ROOM, FILE_SYSTEM, NOT_ON_DISK, PLACE_TAKEN)
