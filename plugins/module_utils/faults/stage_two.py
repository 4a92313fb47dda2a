# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the program in the convert initrd."""

from __future__ import annotations

from .fault import FaultKind

NO_CONFIGURATION = FaultKind(
    id="stage_two.no_configuration",
    phase="attach",
    what="The file {file} of this host's part of the initramfs is missing or damaged",
    why="It should have been loaded beside the convert initrd: {problem}",
    how="Nothing was written. Run disarm, then stage the host again.",
)
OTHER_RUN = FaultKind(
    id="stage_two.other_run",
    phase="attach",
    what="The boot entry belongs to run {booted}, the plan to run {planned}",
    why="Kernel arguments and staged files come from different runs.",
    how="Nothing was written. Run disarm, then stage the host again.",
)
ALREADY_RAN = FaultKind(
    id="stage_two.already_ran",
    phase="attach",
    what="The run {run_id} was in stage two before and ended as {outcome}",
    why="The one-shot boot entry was not forgotten by the boot loader, or was chosen by hand.",
    how="Nothing was written. In the old system run disarm; then start a new run.",
)
STAGING_NOT_FOUND = FaultKind(
    id="stage_two.staging_not_found",
    phase="attach",
    what="The file system {uuid} with the staged files cannot be used",
    why="{problem}",
    how="Nothing was written. Check in the old system that the file system under /var/lib/dualroot is still "
    "the one that the plan names, then run preflight and stage again.",
)
NO_NETWORK = FaultKind(
    id="stage_two.no_network",
    phase="attach",
    what="The captured network does not work in stage two: {problem}",
    why="An attended conversion needs the controller's go, which could never come.",
    how="Nothing was written. Compare the network part of capture-redacted.json with the host's real "
    "network; then run a rehearsal, or set dualroot_attended: false where no network is there by design.",
)
OLD_NOT_SOUND = FaultKind(
    id="stage_two.old_not_sound",
    phase="await",
    what="The old root {node} cannot be made smaller, so the old system cannot be kept",
    why="{problem}",
    how="Nothing was written. Let the old system check its root at its next start (kernel argument fsck.mode=force),"
    " or set dualroot_keep_old: auto to go on without it.",
)
NO_SSHD = FaultKind(
    id="stage_two.no_sshd",
    phase="attach",
    what="The SSH server of stage two does not start",
    why="It said: {problem}",
    how="Nothing was written. Check the captured SSH host keys of the host, then run a rehearsal.",
)
TOO_LITTLE_RAM = FaultKind(
    id="stage_two.too_little_ram",
    phase="load",
    what="{needed} of memory are needed and {available} are free",
    why="Without a lifeboat the payload is kept in memory while the disk is rewritten.",
    how="Nothing was written. Give the host more memory, or build a smaller payload.",
)
FILE_DAMAGED = FaultKind(
    id="stage_two.file_damaged",
    phase="load",
    what="The staged file {file} is not the planned one: {problem}",
    why="It was changed, cut or damaged after it was staged.",
    how="Nothing was written. Run the playbook again: staging copies what does not match its digest. If it "
    "happens again, check the old system's disk.",
)
NO_GO = FaultKind(
    id="stage_two.no_go",
    phase="await",
    what="No go came from the controller within {seconds} s",
    why="The controller cannot reach the host in stage two, or the playbook was stopped.",
    how="Nothing was written. Read network and sshd lines of the console log, check the way between "
    "controller and host, and run again; dualroot_go_timeout makes it wait longer.",
)
WRONG_GO = FaultKind(
    id="stage_two.wrong_go",
    phase="await",
    what="The go that came is for plan {found}, not for {wanted}",
    why="Another playbook run believes that this host is its own.",
    how="Nothing was written. Make sure that only one run works on the host, then start it again.",
)
DISK_IN_USE = FaultKind(
    id="stage_two.disk_in_use",
    phase="await",
    what="The disk {node} is still in use by {users}",
    why="A partition table is never written under something that is mounted or active.",
    how="Nothing was written. Find out what starts it in the convert environment and report it; a login "
    "session with its working directory on the disk also does it.",
)
ONE_SHOT_STAYS = FaultKind(
    id="stage_two.one_shot_stays",
    phase="attach",
    what="The one-shot boot entry cannot be forgotten: the file system of the old system takes no writes ({first})",
    why="The boot loader could not forget it either, so that every restart would start stage two again, for ever. "
    "It stays reachable instead; nothing of the disk was changed.",
    how="Find out why the disk takes no writes (the kernel log, the controller, a write protection of the hypervisor) "
    "and end that; then touch /run/dualroot/retry, and the old system starts. Or restart, and choose the old system's "
    "own entry in the menu of the boot loader.",
)
INTERNAL = FaultKind(
    id="stage_two.internal",
    phase="attach",
    what="The stage-two program failed in {place}: {error}",
    why="This is a mistake in the program and not in your host.",
    how="Please report it with journal.jsonl and the console log. Before the point of no return the old "
    "system boots again by itself; after it, stage two waits with SSH up.",
)

OTHER_MODE = FaultKind(
    id="stage_two.other_mode",
    phase="attach",
    what="The kernel was started to {booted}, and the plan is one to {planned}",
    why="The boot entry and the host's own part of the initramfs come from different runs.",
    how="Run the playbook again; it stages everything anew. Nothing was written.",
)
KINDS = (
    OTHER_MODE,
    NO_CONFIGURATION,
    OTHER_RUN,
    ALREADY_RAN,
    STAGING_NOT_FOUND,
    NO_NETWORK,
    NO_SSHD,
    TOO_LITTLE_RAM,
    FILE_DAMAGED,
    NO_GO,
    WRONG_GO,
    DISK_IN_USE,
    OLD_NOT_SOUND,
    ONE_SHOT_STAYS,
    INTERNAL,
)
