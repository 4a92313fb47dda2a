# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator says about an update, with its types made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import option_values
from ..faults import plan as kinds
from ..faults.fault import Fault


@dataclass(frozen=True)
class Options:
    """The options of one host's update; ``now`` is the epoch at which its plan is made.

    ``bundle_layout`` is the name of the layout that the bundle would use for a migration.
    """

    run_id: str
    host: str
    now: int = 0
    lifetime: int = 86400
    trial_limit: int = 900
    allow_downgrade: bool = False
    login_user: str = "root"
    kernel_arguments: tuple[str, ...] = ()
    capture_paths: tuple[str, ...] = ()
    carry_paths: tuple[str, ...] = ()
    manifest_sha256: str = ""
    signed_by: str = ""
    bundle_layout: str = ""


def load(document: Mapping[str, Any]) -> Options:
    """Return the options of a document; raises ``Fault`` ``plan.options_invalid`` with every bad variable."""
    problems: list[str] = []
    values = option_values.read(document, Options(run_id="", host=""), ("run_id", "host"), problems)
    limit = values.get("trial_limit", 0)
    if limit and not 60 <= limit <= 86400:
        problems.append("dualroot_trial_limit: it must be 0 (never), or from 60 to 86400")
    if problems:
        raise Fault(kinds.OPTIONS, problems="; ".join(problems))
    return Options(**values)
