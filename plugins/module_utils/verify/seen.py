# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the running system shows of itself, for the judgement; and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..faults import verify as kinds
from ..faults.fault import Fault

#: So many differences are spelled out in one fault; all of them are in the module's result.
SHOWN = 8


@dataclass(frozen=True)
class CommandResult:
    """A health command of the operator and how it ended."""

    command: str
    returncode: int
    output: str


@dataclass(frozen=True)
class Seen:
    """``disk`` is the node of the planned disk or empty; differences are texts ready to show."""

    arguments: Mapping[str, str]
    disk: str
    layout_differences: Sequence[str] = ()
    configuration_differences: Sequence[str] = ()
    commands: Sequence[CommandResult] = ()
    record: Mapping[str, Any] | None = None
    record_problem: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


def dualroot_arguments(cmdline: str) -> dict[str, str]:
    """Return the ``dualroot.*`` arguments of a kernel command line, without the prefix."""
    words = (word.partition("=") for word in cmdline.split())
    return {name[len("dualroot.") :]: value for name, _separator, value in words if name.startswith("dualroot.")}


def judge(plan: Mapping[str, Any], seen: Seen) -> list[Fault]:
    """Return everything that is not as planned, never only the first; empty means proven."""
    faults = []
    for name, wanted in (("slot", plan["slot"]), ("run", plan["run_id"])):
        found = seen.arguments.get(name, "none")
        if found != wanted:
            faults.append(Fault(kinds.WRONG_SYSTEM, problem=f"dualroot.{name} is {found} instead of {wanted}"))
    if not seen.disk:
        faults.append(Fault(kinds.DISK_MISSING, disk_guid=plan["layout"]["disk_guid"]))
    faults += _differing(kinds.LAYOUT_DIFFERS, seen.layout_differences)
    faults += _differing(kinds.CONFIGURATION_DIFFERS, seen.configuration_differences)
    for done in seen.commands:
        if done.returncode != 0:
            output = done.output.strip()[-300:] or "It gave no output."
            faults.append(Fault(kinds.HEALTH, command=done.command, returncode=done.returncode, output=output))
    if seen.record is None or seen.record.get("run_id") != plan["run_id"]:
        problem = seen.record_problem or "it belongs to another run"
        faults.append(Fault(kinds.NO_RECORD, run_id=plan["run_id"], problem=problem))
    return faults


def _differing(kind: Any, differences: Sequence[str]) -> list[Fault]:
    if not differences:
        return []
    more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
    return [Fault(kind, count=len(differences), differences="; ".join(differences[:SHOWN]) + more)]
