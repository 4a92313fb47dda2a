# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator says about a restore, with its types made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..faults import plan as kinds
from ..faults.fault import Fault

_YES = frozenset({"true", "yes", "on", "1", "y", "t"})
_NO = frozenset({"false", "no", "off", "0", "n", "f"})
_REQUIRED = ("run_id", "host")
_LIFEBOATS = ("required", "auto", "none")


@dataclass(frozen=True)
class Options:
    """The options of one host's restore; ``now`` is the epoch at which its plan is made."""

    run_id: str
    host: str
    now: int = 0
    lifetime: int = 86400
    attended: bool = True
    go_timeout: int = 600
    lifeboat: str = "required"
    kernel_arguments: tuple[str, ...] = ()
    login_user: str = "root"
    manifest_sha256: str = ""
    signed_by: str = ""


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
    if values.get("lifeboat", "none") not in _LIFEBOATS:
        # A misspelt wish for a lifeboat must not pass for none.
        problems.append(f"dualroot_lifeboat: {values['lifeboat']!r} is not one of {', '.join(_LIFEBOATS)}")
    problems += [
        f"dualroot_{name}: it must be above 0" for name in ("go_timeout", "lifetime") if values.get(name, 1) < 1
    ]
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
