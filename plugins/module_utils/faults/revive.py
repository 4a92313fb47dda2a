# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults and findings of a restore: the old system of a converted host is brought back from its archive."""

from __future__ import annotations

from .fault import FaultKind

_TAKE_BY_HAND = "Restore the host by hand from the same archive (the README of the role snapshot says how)."

NOT_CONVERTED = FaultKind(
    id="revive.not_converted",
    phase="revive",
    what="The host runs no slot: {found}",
    why="Only a host that was converted has an old system that is gone; the way back leads out of a running slot.",
    how="A host that runs its old system needs nothing. From the recovery system boot a good slot "
    "(dualroot-slot next a, then reboot) and run again.",
)
NO_ARCHIVE = FaultKind(
    id="revive.no_archive",
    phase="revive",
    what="The report folder {folder} has no archive of this host{run}",
    why="An old system can only be brought back where its migration ran with dualroot_snapshot: archive and its "
    "root.tar and evidence.tar.gz are still there.",
    how="Point dualroot_report_dir to the report folder of the migration, and dualroot_restore_run to its run.",
)
EVIDENCE_DAMAGED = FaultKind(
    id="revive.evidence_damaged",
    phase="revive",
    what="{file} cannot be used: {problem}",
    why="It holds the old partition table and boot sectors, and the head of the old root file system.",
    how="Put an undamaged copy of the file back into the report folder, then run again.",
)
ARCHIVE_DAMAGED = FaultKind(
    id="revive.archive_damaged",
    phase="revive",
    what="The archive {file} is not the one that was made: its digest is {found} instead of {wanted}",
    why="It was damaged or replaced since the migration, and would make half a system.",
    how="Put an undamaged copy of the archive back into the report folder, then run again.",
)
FIRMWARE = FaultKind(
    id="revive.firmware",
    phase="revive",
    what="The host is started by UEFI",
    why="The boot entries of UEFI firmware and the EFI system partition are not in the archive; only hosts that are "
    "started by BIOS are brought back.",
    how=_TAKE_BY_HAND,
)
OTHER_DISK = FaultKind(
    id="revive.other_disk",
    phase="revive",
    what="The disk of the host is not the one that was saved: {differences}",
    why="Table and boot sectors are put back byte by byte, which only fits the same disk.",
    how=_TAKE_BY_HAND,
)
NOT_PLAIN = FaultKind(
    id="revive.root_not_plain",
    phase="revive",
    what="The old root cannot be made again: {problem}",
    why="An old root is brought back that was ext2, ext3 or ext4 on a plain partition of the disk.",
    how=_TAKE_BY_HAND,
)
FEATURES = FaultKind(
    id="revive.features_unknown",
    phase="revive",
    what="The old root had features that cannot be made again: {features}",
    why="A file system without them might not be read by the old system, or not be what it was.",
    how=_TAKE_BY_HAND,
)
NOT_SAVED = FaultKind(
    id="revive.not_saved",
    phase="revive",
    what="What was on partition {number} of the old disk is not in the archive: {content}",
    why="The archive has the root file system alone; swap is made again, everything else would come back empty.",
    how=_TAKE_BY_HAND,
)
SLOT = FaultKind(
    id="revive.slot",
    phase="revive",
    what="The host runs slot {slot}, which is {state}",
    why="The way back is started from slot a, committed and good: what fails before the first write ends there again.",
    how="Finish or roll back what is under way (playbooks migrate and rollback) until slot a runs and is good.",
)
NO_LAYOUT = FaultKind(
    id="revive.no_layout",
    phase="revive",
    what="The host does not know its layout: {problem}",
    why="It says what stands on the disk and has to be taken down; the plan of the run that made the slot has it.",
    how="Put the plan.json of the host's run from the report folder back to /var/lib/dualroot/runs/RUN on the host "
    "(owner root, mode 0600), then run again.",
)
OTHER_GROUP = FaultKind(
    id="revive.spans_disks",
    phase="revive",
    what="Volume group {group} lies on more than the disk that is restored: {disks}",
    why="It is taken down with the disk, and what it holds elsewhere would be lost with it.",
    how="Move it off the system disk (pvmove, vgreduce), then run again.",
)
ROOM = FaultKind(
    id="revive.no_room",
    phase="revive",
    what="{needed} are needed in {directory} and {free} are free",
    why="Archive, convert kernel and initramfs are staged on the running system.",
    how="Free space on the running root, then run again.",
)
MEMORY = FaultKind(
    id="revive.memory",
    phase="revive",
    what="{needed} of memory are needed and {free} are there",
    why="Without a lifeboat the packed archive is held in memory while the disk is written.",
    how="Give the host more memory for the restore, or restore it by hand.",
)
LIFEBOAT = FaultKind(
    id="revive.lifeboat_no_room",
    phase="revive",
    what="The lifeboat finds no room: {problem}",
    why="It lies in what slot B gives up, at its end, and the old root must fit before it. Without it a power cut or a "
    "crash after the first write leaves the host without any system.",
    how="Where that can be borne, say so with dualroot_lifeboat: none; the archive is then held in memory.",
)
COMPRESSION = FaultKind(
    id="revive.compression",
    phase="revive",
    what="{file} is packed in an unknown way",
    why="Stage two unpacks zstd, gzip, xz and plain archives.",
    how="Pack it as root.tar.zst or root.tar.gz, then run again.",
)
UNSIGNED = FaultKind(
    id="revive.unsigned",
    phase="revive",
    what="The bundle is not signed",
    why="Whoever can change it decides what runs with all rights while the host is restored.",
    how="Sign the bundle and set dualroot_trusted_keys.",
)
UNPROVEN = FaultKind(
    id="revive.digest_unknown",
    phase="revive",
    what="Nobody has kept the digest of {file}",
    why="The archive was made before digests were kept beside it, so that only its own check sum speaks for it.",
    how="Check it with zstd --test or gzip --test; a damaged archive is noticed when it is too late.",
)
NO_LIFEBOAT = FaultKind(
    id="revive.no_lifeboat",
    phase="revive",
    what="There will be no lifeboat",
    why="A power cut or a crash after the first write leaves the host without any system.",
    how="Restore hosts that nobody can reach by hand last, and one at a time.",
)
SLOT_B_GOES = FaultKind(
    id="revive.slot_b_goes",
    phase="revive",
    what="Slot B is given up before the host is restarted",
    why="The lifeboat lies in its place ({size} at the end of it): a power cut starts it, and the restore goes on.",
    how="Nothing to do. Should the restore end before its first write, slot B is made again, empty: by this run, or by "
    "the playbook disarm.",
)
SLOT_B_NOT_MADE = FaultKind(
    id="revive.slot_b_not_made",
    phase="revive",
    what="Slot B cannot be made again: {problem}",
    why="It was given up for the lifeboat of a restore. Slot A runs and is well, but there is no room for an update.",
    how="Put back what is missing: the disk, or /boot/dispatch/layout.json (mounted read-only; it is the layout of the "
    "plan.json of the host's migration in the report folder). Then run the playbook disarm.",
)
LIFEBOAT_LEFT_OUT = FaultKind(
    id="revive.lifeboat_left_out",
    phase="revive",
    what="There will be no lifeboat: {problem}",
    why="A power cut or a crash after the first write leaves the host without any system.",
    how="Restore hosts that nobody can reach by hand last, and one at a time.",
)
EVERYTHING_GOES = FaultKind(
    id="revive.everything_goes",
    phase="revive",
    what="Both slots and all that was written since the migration go: {mounts}",
    why="The old table covers the disk again, and the archive is the old system as it was when it was made ({when}).",
    how="Save what is new and worth keeping elsewhere before the consent.",
)
PIECE_DAMAGED = FaultKind(
    id="revive.piece_damaged",
    phase="revive",
    what="Sectors of the old disk are not what the plan says: {piece}",
    why="The evidence on the host is not the one that the plan was made from.",
    how="Run the playbook again: it sends the evidence anew.",
)
NOT_REVIVED = FaultKind(
    id="revive.not_old_system",
    phase="revive",
    what="{problem}",
    why="After the restore the host must run the old system: its root file system by its old UUID, by its own kernel.",
    how="Look at the host's console; the report has the log of stage two.",
)
WENT_BACK = FaultKind(
    id="revive.went_back",
    phase="revive",
    what="The host is back in slot {slot}, and nothing was restored",
    why="Stage two was not entered, or it restarted before the first write without saying why.",
    how="Look at the host's console log and run again: the running slot is untouched.",
)

#: Findings that do not keep a host from being restored.
WARNINGS = frozenset({UNSIGNED, UNPROVEN, NO_LIFEBOAT, LIFEBOAT_LEFT_OUT, SLOT_B_GOES, EVERYTHING_GOES})
KINDS = (
    NOT_CONVERTED,
    NO_ARCHIVE,
    EVIDENCE_DAMAGED,
    ARCHIVE_DAMAGED,
    FIRMWARE,
    OTHER_DISK,
    NOT_PLAIN,
    FEATURES,
    NOT_SAVED,
    SLOT,
    NO_LAYOUT,
    OTHER_GROUP,
    ROOM,
    MEMORY,
    LIFEBOAT,
    COMPRESSION,
    UNSIGNED,
    UNPROVEN,
    NO_LIFEBOAT,
    LIFEBOAT_LEFT_OUT,
    SLOT_B_GOES,
    SLOT_B_NOT_MADE,
    EVERYTHING_GOES,
    PIECE_DAMAGED,
    NOT_REVIVED,
    WENT_BACK,
)
