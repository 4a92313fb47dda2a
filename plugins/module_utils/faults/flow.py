# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the flow around the phases: consent, batches, the interpreter, what is sent to a host."""

from __future__ import annotations

from .fault import FaultKind

NO_PYTHON = FaultKind(
    id="interpreter.missing",
    phase="preflight",
    what="The host has no Python {floor} or newer, and the bundle's own cannot be used: {detail}",
    why="Modules need an interpreter on the host, and no package is ever installed on the old system.",
    how="Use a bundle that carries an interpreter, give the host some 100 MiB of room in /var/lib, or set "
    "ansible_python_interpreter to a usable one.",
)
TRANSFER_FAILED = FaultKind(
    id="stage.transfer_failed",
    phase="stage",
    what="The file {file} did not arrive on the host whole: {detail}",
    why="The connection broke, the file system of /var/lib/dualroot is full, or become was refused.",
    how="Make room or mend the connection and run again; the transfer goes on where it ended.",
)
OTHER_BUNDLE = FaultKind(
    id="migrate.other_bundle",
    phase="preflight",
    what="The host is converted already, by bundle {found}; this run brings {wanted}",
    why="migrate turns an old system into a dual system once; it never replaces a converted one.",
    how="Use the update playbook, which installs {wanted} into the slot that does not run; or take the host out of "
    "this run (--limit).",
)
LOST_FROM_BATCH = FaultKind(
    id="migrate.lost_from_batch",
    phase="convert",
    what="The batch lost {hosts} on the way",
    why="A host that failed or became unreachable drops out of its batch silently; going on could "
    "convert the fleet into the "
    "same fault.",
    how="Read the reports of the named hosts, mend the cause, and run again: converted hosts are left alone.",
)
PLAN_NOT_HERE = FaultKind(
    id="migrate.plan_not_here",
    phase="preflight",
    what="The host is in the middle of run {run_id}, and {folder} has no plan of that run",
    why="The run was started from another machine or with another dualroot_report_dir, and only its plan "
    "says what to expect.",
    how="Run the playbook where run {run_id} was started, or copy its report folder here.",
)
OTHER_MODE = FaultKind(
    id="migrate.other_mode",
    phase="preflight",
    what="The host is in stage two of run {run_id}, whose mode is {found}; this playbook wants {wanted}",
    why="A rehearsal never becomes a conversion on the way, nor the other way round.",
    how="Run the playbook that was started (rehearse for a rehearsal, migrate for a conversion) to lead it to its end.",
)
UNREACHABLE = FaultKind(
    id="migrate.unreachable",
    phase="convert",
    what="The host stopped answering in the middle of its run",
    why="The connection broke between two looks at the host, so nobody has seen what became of it: {detail}",
    how="Look at the host's console, make it reachable, and run the playbook again: it goes on where the host is.",
)
LOCKED = FaultKind(
    id="migrate.locked",
    phase="preflight",
    what="The host is in the hands of {owner}, run {run_id}, since {since} until {expires}",
    why="Two controllers on one host would stage over each other. The lock, /var/lib/dualroot/lock on the host, is "
    "given back at the end of a run, taken over where its process on the same controller is gone, and void once "
    "it has expired.",
    how="Let run {run_id} end, or wait until {expires}. If you know that nobody works on the host any more, run again "
    "with -e dualroot_break_lock=true.",
)
LOCK_FAILED = FaultKind(
    id="migrate.lock_failed",
    phase="preflight",
    what="The lock of the host could be neither taken nor read: {detail}",
    why="It is a file below /var/lib/dualroot, which only root may write; become was refused, or the file system is "
    "full or read-only.",
    how="Check that `ansible HOST -b -m ansible.builtin.raw -a 'touch /var/lib/dualroot/x'` works, mend what it says, "
    "and run again.",
)
MODE_GIVEN = FaultKind(
    id="migrate.mode_given",
    phase="preflight",
    what="dualroot_mode is {found}, and this playbook is for {wanted}",
    why="The playbook sets it by itself; a value from outside would turn a rehearsal into a conversion without "
    "consent, or the other way round.",
    how="Remove dualroot_mode from the extra variables and run the playbook of the name (rehearse or migrate).",
)
TASK_FAILED = FaultKind(
    id="migrate.task_failed",
    phase="convert",
    what="The task {task} failed",
    why="{reason}",
    how="Run again with -vvv to see the whole result of the task; the report says which system the host runs.",
)
KINDS = (
    NO_PYTHON,
    TRANSFER_FAILED,
    OTHER_BUNDLE,
    LOST_FROM_BATCH,
    PLAN_NOT_HERE,
    OTHER_MODE,
    UNREACHABLE,
    LOCKED,
    LOCK_FAILED,
    MODE_GIVEN,
    TASK_FAILED,
)
