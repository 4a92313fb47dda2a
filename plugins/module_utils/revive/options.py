# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the operator says about a restore, with its types made sure of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import option_values
from ..faults import plan as kinds
from ..faults.fault import Fault

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
    values = option_values.read(document, Options(run_id="", host=""), ("run_id", "host"), problems)
    if values.get("lifeboat", "none") not in _LIFEBOATS:
        # A misspelt wish for a lifeboat must not pass for none.
        problems.append(f"dualroot_lifeboat: {values['lifeboat']!r} is not one of {', '.join(_LIFEBOATS)}")
    problems += [
        f"{option_values.variable_of(name)}: it must be above 0"
        for name in ("go_timeout", "lifetime")
        if values.get(name, 1) < 1
    ]
    if problems:
        raise Fault(kinds.OPTIONS, problems="; ".join(problems))
    return Options(**values)
