# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pages of docs/recovery/: one per fault that can occur behind the point of no return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .recovery_steps import NOT_THERE, STEPS, Steps

#: Phases of stage two whose faults come after the first write, and those that follow them.
PHASES = ("partition", "volumes", "restore", "configure", "boot", "seal", "verify", "commit")
BEGIN = "<!-- faults: written by tests/bin/write_recovery_pages.py -->"
END = "<!-- end of faults -->"


def missing(kinds: Iterable[Any]) -> list[str]:
    """Return the ids of those phases that have neither steps nor a reason to have none."""
    return [kind.id for kind in kinds if kind.phase in PHASES and kind.id not in STEPS and kind.id not in NOT_THERE]


def pages(kinds: Iterable[Any]) -> dict[str, str]:
    """Return ``{file name: text}``."""
    return {f"{kind.id}.md": _page(kind, STEPS[kind.id]) for kind in kinds if kind.id in STEPS}


def with_index(page: str, kinds: Iterable[Any]) -> str:
    """Return docs/recovery.md with the table between its marks written anew."""
    before, _mark, rest = page.partition(BEGIN)
    _old, _mark, after = rest.partition(END)
    rows = "".join(_row(kind, STEPS[kind.id]) for kind in kinds if kind.id in STEPS)
    return f"{before}{BEGIN}\n\n| fault | the host | what happened |\n|---|---|---|\n{rows}\n{END}{after}"


def _row(kind: Any, steps: Steps) -> str:
    return f"| [{kind.id}](recovery/{kind.id}.md) | {steps.state} | {kind.what} |\n"


def _page(kind: Any, steps: Steps) -> str:
    tried = (
        f"Followed on a machine: {steps.tried}." if steps.tried else "These steps were not followed on a machine yet."
    )
    commands = "\n".join(steps.look)
    return (
        f"# {kind.id}\n\n"
        f"Phase `{kind.phase}`; the host {steps.state}. [All faults at the console](../recovery.md)\n\n"
        f"**What:** {kind.what}.\n\n**Why:** {kind.why}\n\n**How to go on:** {kind.how}\n\n"
        f"## At the console\n\nLook:\n\n```sh\n{commands}\n```\n\n{steps.mend}\n\n{tried}\n"
    )
