# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults and findings of an update: a bundle is installed into the slot that does not run."""

from __future__ import annotations

from .fault import FaultKind

NOT_CONVERTED = FaultKind(
    id="update.not_converted",
    phase="update",
    what="The host runs no slot: {found}",
    why="An update installs a bundle into the other slot of a dual system, beside the one that runs.",
    how="Convert the host with the playbook migrate first; from the recovery system boot a good slot "
    "(dualroot-slot next a, then reboot).",
)
NOT_COMMITTED = FaultKind(
    id="update.not_committed",
    phase="update",
    what="The migration of the host is not committed: {problem}",
    why="Slot B and what belongs to it are made at the end of the migration.",
    how="Run the playbook migrate again with the bundle that the host was converted with: it finishes the commit.",
)
NOT_GOOD = FaultKind(
    id="update.running_not_good",
    phase="update",
    what="Slot {slot}, which runs, is marked {state}",
    why="It would be the only way back from the new slot, and the dispatcher would not boot it.",
    how="Run the health checks of the host; mark the slot good if it is (dualroot-slot good {slot}), or roll back "
    "to the other slot first.",
)
NO_LAYOUT = FaultKind(
    id="update.no_layout",
    phase="update",
    what="The host does not know its layout: {problem}",
    why="It is kept as layout.json on the dispatch file system and in the plan of the run that made the slot.",
    how="Put the plan.json of the host's migration from the report folder back to /var/lib/dualroot/runs/RUN on "
    "the host (owner root, mode 0600), then run again.",
)
LAYOUT_DIFFERS = FaultKind(
    id="update.layout_differs",
    phase="update",
    what="{count} point(s) of the disk are not as the host's layout says: {differences}",
    why="The new slot would be found unequal to its plan after the restart, and given up.",
    how="Undo the change of the disk. What a migration that is not committed lacks, the playbook migrate makes. "
    "One damaged copy of the partition table is written anew from the other by "
    "`sgdisk --move-second-header /dev/DISK` on the host.",
)
TARGET_BUSY = FaultKind(
    id="update.target_busy",
    phase="update",
    what="Slot {slot} is in use on the running system: {users}",
    why="Its file system is made anew, which whatever uses it would not survive.",
    how="Unmount it, or end what holds it, then run again.",
)
TOO_SMALL = FaultKind(
    id="update.slot_too_small",
    phase="update",
    what="Slot {slot} has {room}, and {needed} are needed",
    why="The payload unpacks to {payload}, {carried} are carried over, and the file system itself needs about a tenth.",
    how="Build a smaller payload, carry less over (dualroot_carry_paths), or convert with a layout with more room.",
)
DISPATCH_FULL = FaultKind(
    id="update.dispatch_full",
    phase="update",
    what="The dispatch file system has {free} free, and {needed} are needed",
    why="The host's part of the recovery system, records and evidence are written there, each beside what it replaces.",
    how="Make room below /boot/dispatch (mount -o remount,rw /boot/dispatch, afterwards ro again): what is not this "
    "project's may go, and of runs/ the folders that neither slots/a.json nor slots/b.json names. Then run again.",
)
PROGRAM_MISSING = FaultKind(
    id="update.program_missing",
    phase="update",
    what="The running system lacks {programs}",
    why="The slot is made and filled with programs of the running system; nothing is installed for an update.",
    how="Install what is named in the running slot, and put it into the payload of the next bundle.",
)
MEMORY = FaultKind(
    id="update.memory",
    phase="update",
    what="{free} of memory are free, and an update needs up to {needed}",
    why="The host goes on with its work meanwhile; short of memory the kernel would end one of its processes.",
    how="Run the update at a quieter time, or end what is not needed.",
)
ARCHITECTURE = FaultKind(
    id="update.architecture",
    phase="update",
    what="The bundle is for {bundle}, and the host is {found}",
    why="Its kernel would not start.",
    how="Give the host a bundle of its own architecture.",
)
DOWNGRADE = FaultKind(
    id="update.downgrade",
    phase="update",
    what="The bundle {name} {version} is older than {installed}, which runs",
    why="Data on shared file systems may have been brought to a form that the older system cannot read.",
    how="Check that it can; then set dualroot_allow_downgrade: true. To go back to what the other slot still holds, "
    "use the playbook rollback.",
)
SAME_VERSION = FaultKind(
    id="update.same_version",
    phase="update",
    what="The bundle has the version that runs, {version}, and another content",
    why="Two payloads with one version cannot be told apart by people.",
    how="Give every bundle a version of its own (dualroot_build_version).",
)
OTHER_NAME = FaultKind(
    id="update.other_bundle",
    phase="update",
    what="The bundle is called {name}, and what runs is {installed}",
    why="Versions of different bundles are not compared.",
    how="Nothing is to be done if this is meant, as for a new release of the distribution.",
)
OTHER_LAYOUT = FaultKind(
    id="update.layout_kept",
    phase="update",
    what="The host keeps its layout {found}; the bundle's own is {bundle}",
    why="An update changes no partition and no volume.",
    how="Nothing is to be done; only a migration lays a disk out.",
)
UNSIGNED = FaultKind(
    id="update.unsigned",
    phase="update",
    what="The bundle is not signed",
    why="dualroot_allow_unsigned is set, so nobody vouches for what the host will run.",
    how="Sign bundles, and give the hosts' operators dualroot_trusted_keys.",
)
PATH_SHARED = FaultKind(
    id="update.path_shared",
    phase="update",
    what="{path} need not be carried over",
    why="It lies on {mount}, which both slots mount.",
    how="Take it out of dualroot_carry_paths.",
)
PATH_MISSING = FaultKind(
    id="update.path_missing",
    phase="update",
    what="{path} of dualroot_carry_paths does not exist on the host",
    why="What is to be carried over and is not there may be a misspelt name.",
    how="Correct the list, or make it different for this host.",
)
PATH_REFUSED = FaultKind(
    id="update.path_refused",
    phase="update",
    what="{path} of dualroot_carry_paths cannot be carried over",
    why="It is no absolute path, or it belongs to the system itself, which the bundle brings.",
    how="Name the folders of the host's own data, for example /var/lib/postgresql.",
)
BUSY = FaultKind(
    id="update.running",
    phase="update",
    what="Another update of this host is running",
    why="Process {process} holds {lock}.",
    how="Wait for its end (cat /run/dualroot/update.json shows how far it is), or end that process; then run again.",
)
PLAN_OLD = FaultKind(
    id="update.plan_outdated",
    phase="update",
    what="The plan does not fit the host any more: {problem}",
    why="Between plan and installation something else changed the slots.",
    how="Run the playbook again for a fresh plan.",
)
CARRY_FAILED = FaultKind(
    id="update.carry_failed",
    phase="update",
    what="{path} could not be carried over whole",
    why="The copy said: {problem}",
    how="Look whether the path is readable and the slot has room; then run again. Files that change while they are "
    "copied are copied as they are at that moment: stop their service first where that matters.",
)
CONTENT_DIFFERS = FaultKind(
    id="update.content_differs",
    phase="update",
    what="{count} file(s) of slot {slot} read back from the disk differ from what was written: {paths}",
    why="The disk, its controller or the memory of the host has altered them.",
    how="The slot stays bad, and the host runs on. Look for input/output errors in the kernel log, test memory and "
    "disk, and run again.",
)

#: Findings that do not refuse.
WARNINGS = (SAME_VERSION, UNSIGNED)
NOTES = (OTHER_NAME, OTHER_LAYOUT, PATH_SHARED)

KINDS = (
    NOT_CONVERTED,
    NOT_COMMITTED,
    NOT_GOOD,
    NO_LAYOUT,
    LAYOUT_DIFFERS,
    TARGET_BUSY,
    TOO_SMALL,
    DISPATCH_FULL,
    PROGRAM_MISSING,
    MEMORY,
    ARCHITECTURE,
    DOWNGRADE,
    SAME_VERSION,
    OTHER_NAME,
    OTHER_LAYOUT,
    UNSIGNED,
    PATH_SHARED,
    PATH_MISSING,
    PATH_REFUSED,
    BUSY,
    PLAN_OLD,
    CARRY_FAILED,
    CONTENT_DIFFERS,
)
