# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator and the inventory say about a run, with their types made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import option_values
from ..faults import plan as kinds
from ..faults.fault import Fault

#: Seconds that a plan is good for, unless told otherwise: one maintenance day.
LIFETIME = 86400
#: Boot method and snapshot provider are judged by findings, which say more. A misspelt wish for a
#: lifeboat must not pass for none.
_CHOICES = {
    "mode": ("convert", "rehearse"),
    "lifeboat": ("required", "auto", "none"),
    "keep_old": ("required", "auto", "none"),
}
_SECONDS = ("go_timeout", "lifetime")


@dataclass(frozen=True)
class Options:
    """The options of one host's plan; ``now`` is the epoch at which it is made."""

    run_id: str
    host: str
    now: int
    mode: str = "convert"
    slot: str = "a"
    attended: bool = True
    go_timeout: int = 600
    trial_limit: int = 900
    lifetime: int = LIFETIME
    lifeboat: str = "required"
    keep_old: str = "none"
    boot_method: str = "reboot"
    snapshot: str = "none"
    snapshot_command: tuple[str, ...] = ()
    disk: str = ""
    discard: tuple[str, ...] = ()
    login_user: str = "root"
    health_commands: tuple[str, ...] = ()
    give_up_unhealthy: bool = True
    kernel_arguments: tuple[str, ...] = ()
    manifest_sha256: str = ""
    #: SHA-256 fingerprint of the certificate that signed the bundle; empty for an unsigned one.
    signed_by: str = ""
    #: Address at which the host saw the controller's connection arrive; empty where unknown.
    reached_at: str = ""
    #: Result of an earlier rehearsal of this host, for calibrated predictions.
    rehearsal: Mapping[str, Any] | None = None


def load(document: Mapping[str, Any]) -> Options:
    """Return the options of a document; raises ``Fault`` ``plan.options_invalid`` with every bad variable."""
    problems: list[str] = []
    example = Options(run_id="", host="", now=0)
    values = option_values.read(document, example, ("run_id", "host", "now"), problems)
    problems += [
        f"{option_values.variable_of(name)}: {values[name]!r} is not one of {', '.join(allowed)}"
        for name, allowed in _CHOICES.items()
        if name in values and values[name] not in allowed
    ]
    problems += [
        f"{option_values.variable_of(name)}: it must be above 0" for name in _SECONDS if values.get(name, 1) < 1
    ]
    if values.get("trial_limit", 0) != 0 and values["trial_limit"] < 60:
        problems.append("dualroot_trial_limit: it must be 0 (never) or at least 60")
    if problems:
        raise Fault(kinds.OPTIONS, problems="; ".join(problems))
    return Options(**values)
