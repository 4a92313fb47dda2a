# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the plan document and of the operator's consent."""

from __future__ import annotations

from .fault import FaultKind

INVALID = FaultKind(
    id="plan.invalid",
    phase="preflight",
    what="The plan is not usable: {problems}",
    why="A field is missing or has another type than the plan format, version 1, asks for.",
    how="Do not edit plan.json by hand; run the preflight and stage phases again to make a new one.",
)
OPTIONS = FaultKind(
    id="plan.options_invalid",
    phase="preflight",
    what="The variables of the run are not usable: {problems}",
    why="A value is missing, unknown, or of another type than its variable has.",
    how="Correct the named variables in the inventory, the survey or on the command line, and run again; an empty "
    "value stands for the default.",
)
DIGEST = FaultKind(
    id="plan.digest_mismatch",
    phase="preflight",
    what="The plan has the digest {found} and says that it should be {wanted}",
    why="It was changed after it was frozen, or damaged on the way.",
    how="Run the preflight and stage phases again; if it happens twice, test the host's disk and memory.",
)
EXPIRED = FaultKind(
    id="plan.expired",
    phase="stage",
    what="The plan expired at {expires}, and it is {now} now",
    why="The facts that it was computed from may no longer hold; or the host's clock is wrong.",
    how="Run preflight again for a fresh plan; check the clock of the host and of the controller.",
)
CONSENT_WRONG = FaultKind(
    id="plan.consent_wrong",
    phase="preflight",
    what="dualroot_consent says {said}, and this run has {count} host(s): {hosts}",
    why="The number proves that the operator knows which hosts will be converted.",
    how="Check the inventory and --limit; then set dualroot_consent to {count}, or narrow the run.",
)
STRATEGY = FaultKind(
    id="plan.strategy_unsafe",
    phase="preflight",
    what="The play runs with the strategy {strategy}",
    why="Only the linear strategy keeps batches together, so that a failed host stops the rollout.",
    how="Remove the strategy from the play and from ansible.cfg (or set it to linear), then run again.",
)
KINDS = (INVALID, OPTIONS, DIGEST, EXPIRED, CONSENT_WRONG, STRATEGY)
