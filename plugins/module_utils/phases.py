# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The phases of a run: the one list that roles, tags, journals, reports and docs follow."""

from __future__ import annotations

#: Phases of one host, in their order; each is a role, a tag and a key of the report.
HOST_PHASES: tuple[str, ...] = (
    "preflight",
    "snapshot",
    "capture",
    "stage",
    "convert",
    "verify",
    "commit",
)

#: Roles beside the road: what is done to a converted host for years, and what takes a host back.
SIDE_PHASES: tuple[str, ...] = ("update", "rollback", "status", "disarm", "revive")

#: Phases inside ``convert``, run by the program in the convert initrd, in their order.
STAGE_TWO_PHASES: tuple[str, ...] = (
    "attach",
    "load",
    "await",
    "partition",
    "volumes",
    "restore",
    "configure",
    "boot",
    "seal",
)

#: The first step of this phase is the point of no return.
POINT_OF_NO_RETURN = "partition"

#: Work on the controller before any host is touched.
CONTROLLER_PHASES: tuple[str, ...] = ("build",)

ALL_PHASES: tuple[str, ...] = CONTROLLER_PHASES + HOST_PHASES + SIDE_PHASES + STAGE_TWO_PHASES


def is_past_return(stage_two_phase: str) -> bool:
    """Tell whether the old system may already be gone in this stage-two phase.

    Raises ``ValueError`` for a name that is not a stage-two phase.
    """
    order = STAGE_TWO_PHASES.index(stage_two_phase)
    return order >= STAGE_TWO_PHASES.index(POINT_OF_NO_RETURN)
