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
DAMAGED = FaultKind(
    id="lifeboat.damaged",
    phase="load",
    what="Part {part} of the lifeboat is not what was put there: {problem}",
    why="Before control is switched, every part is read from the bare disk once more and compared with its digest.",
    how="Nothing was written. Run the playbook again: staging writes the lifeboat anew. If it happens again, check "
    "the health of the disk; a log that is full of input/output errors says the same.",
)
NOT_FOUND = FaultKind(
    id="lifeboat.not_found",
    phase="attach",
    what="The disk with the lifeboat of run {run_id} is not there: {problem}",
    why="Stage two was started from that disk by its boot code and continues from the journal in the lifeboat, so the "
    "disk did answer a moment ago.",
    how="Look at the kernel log for the controller of the disk. When the disk is there again: touch "
    "/run/dualroot/retry, or restart the machine, which starts stage two again.",
)
JOURNAL = FaultKind(
    id="lifeboat.journal",
    phase="load",
    what="The journal in the lifeboat cannot be used: {problem}",
    why="Every step is noted there before and after it is made, so that a power cut can be survived; without it "
    "no further step is begun.",
    how="Before the point of no return nothing was written and the old system starts again. After it, look at the "
    "kernel log for input/output errors of the disk, mend their cause, and touch /run/dualroot/retry.",
)
STUCK = FaultKind(
    id="lifeboat.stuck",
    phase="attach",
    what="Stage two was started {count} times since step {step} was finished, and did not finish another",
    why="Something ends the machine again and again in the same step: a power supply, the watchdog, or an error of "
    "the kernel. Instead of starting for ever, stage two now waits for a person.",
    how="Read /run/dualroot/journal.jsonl and the console log for the step that was begun last, mend what is wrong, "
    "and touch /run/dualroot/retry to go on.",
)
TOO_EARLY = FaultKind(
    id="lifeboat.too_early",
    phase="attach",
    what="The lifeboat of run {run_id} was started before the point of no return",
    why="Its entry was chosen in the firmware's menu. The old system is whole, the run was not under way, and "
    "nobody gave the go for it.",
    how="Nothing was written. The machine starts the old system again and the entry is removed; run the playbook "
    "again.",
)
KINDS = (INVALID, NO_ROOM, FILE_SYSTEM, NOT_ON_DISK, PLACE_TAKEN, DAMAGED, NOT_FOUND, JOURNAL, STUCK, TOO_EARLY)
