# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator says about an update, with its types made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..faults import plan as kinds
from ..faults.fault import Fault

_YES = frozenset({"true", "yes", "on", "1", "y", "t"})
_NO = frozenset({"false", "no", "off", "0", "n", "f"})
_REQUIRED = ("run_id", "host")


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
    values: dict[str, Any] = {}
    for one in fields(Options):
        value = document.get(one.name)
        if value is None or value in ("", []):
            if one.name in _REQUIRED:
                problems.append(f"dualroot_{one.name}: missing")
            continue
        try:
            values[one.name] = _cast(value, str(one.type))
        except (TypeError, ValueError) as error:
            problems.append(f"dualroot_{one.name}: {error}")
    known = {one.name for one in fields(Options)}
    problems += [f"dualroot_{name}: unknown option" for name in document if name not in known]
    limit = values.get("trial_limit", 0)
    if limit and not 60 <= limit <= 86400:
        problems.append("dualroot_trial_limit: it must be 0 (never), or from 60 to 86400")
    if problems:
        raise Fault(kinds.OPTIONS, problems="; ".join(problems))
    return Options(**values)


def _cast(value: Any, kind: str) -> Any:
    if kind == "bool":
        text = str(value).strip().lower()
        if text in _YES or text in _NO:
            return text in _YES
        raise ValueError(f"neither true nor false: {value!r}")
    if kind == "int":
        return int(value)
    if kind.startswith("tuple"):
        return tuple(value.split()) if isinstance(value, str) else tuple(str(item) for item in value)
    return str(value).strip()
