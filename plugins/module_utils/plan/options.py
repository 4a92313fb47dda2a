# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator and the inventory say about a run, with their types made sure of.

Ansible hands over strings and empty strings (surveys, extra variables), so every value is brought
to its type in one place; a value that cannot be is named with its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..faults import plan as kinds
from ..faults.fault import Fault

#: Seconds that a plan is good for, unless told otherwise: one maintenance day.
LIFETIME = 86400
_YES = frozenset({"true", "yes", "on", "1", "y", "t"})
#: Boot method and snapshot provider are judged by findings, which say more. A misspelt wish for a
#: lifeboat must not pass for none.
_CHOICES = {
    "mode": ("convert", "rehearse"),
    "lifeboat": ("required", "auto", "none"),
    "keep_old": ("required", "auto", "none"),
}
_SECONDS = ("go_timeout", "lifetime")
_NO = frozenset({"false", "no", "off", "0", "n", "f"})


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
    values: dict[str, Any] = {}
    for name, default in _defaults().items():
        value = document.get(name)
        if value is None or value == "" or value == []:
            if name in ("run_id", "host", "now"):
                problems.append(f"{variable(name)}: missing")
            continue
        try:
            values[name] = _cast(value, default)
        except (TypeError, ValueError) as error:
            problems.append(f"{variable(name)}: {error}")
    for name in document:
        if name not in Options.__dataclass_fields__:
            problems.append(f"{variable(name)}: unknown option")
    problems += [
        f"{variable(name)}: {values[name]!r} is not one of {', '.join(allowed)}"
        for name, allowed in _CHOICES.items()
        if name in values and values[name] not in allowed
    ]
    problems += [f"{variable(name)}: it must be above 0" for name in _SECONDS if values.get(name, 1) < 1]
    if values.get("trial_limit", 0) != 0 and values["trial_limit"] < 60:
        problems.append(f"{variable('trial_limit')}: it must be 0 (never) or at least 60")
    if problems:
        raise Fault(kinds.OPTIONS, problems="; ".join(problems))
    return Options(**values)


def variable(name: str) -> str:
    """Return the name by which an operator knows this option."""
    return f"dualroot_{'plan_' if name == 'lifetime' else ''}{name}"


def _defaults() -> dict[str, Any]:
    example = Options(run_id="", host="", now=0)
    return {name: getattr(example, name) for name in Options.__dataclass_fields__}


def _cast(value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        text = str(value).strip().lower()
        if text in _YES or text in _NO:
            return text in _YES
        raise ValueError(f"neither true nor false: {value!r}")
    if isinstance(default, int):
        return int(value)
    if isinstance(default, tuple):
        return tuple(value.split()) if isinstance(value, str) else tuple(str(item) for item in value)
    if default is None:
        if not isinstance(value, Mapping):
            raise TypeError(f"not a mapping: {value!r}")
        return value
    return str(value).strip()
