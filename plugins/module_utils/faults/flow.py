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
    how="Take the host out of this run (--limit), or give the bundle and layout that it was converted with.",
)
CONSENT = FaultKind(
    id="migrate.wrong_consent",
    phase="preflight",
    what="dualroot_consent is {given}, but this run would convert {count} host(s): {hosts}",
    why="The number must equal the hosts that the operator expects to convert; nothing was changed.",
    how="Read the plan above; if it is what you want, run again with dualroot_consent={count}, otherwise "
    "use --limit.",
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
STRATEGY = FaultKind(
    id="migrate.strategy",
    phase="preflight",
    what="The strategy is {strategy}",
    why="Only the linear strategy keeps hosts of a batch together, so that a fault stops the next batch.",
    how="Remove ANSIBLE_STRATEGY or `strategy` from the configuration and run again.",
)
KINDS = (
    NO_PYTHON,
    TRANSFER_FAILED,
    OTHER_BUNDLE,
    CONSENT,
    LOST_FROM_BATCH,
    STRATEGY,
)
