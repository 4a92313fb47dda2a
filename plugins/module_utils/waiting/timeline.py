# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of stage two, read on the controller: which phase took how long."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..phases import STAGE_TWO_PHASES


def read_journal(text: str) -> list[dict[str, Any]]:
    """Read the lines of ``journal.jsonl``; a line that was cut by a power loss is left out."""
    lines = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("time"), (int, float)):
            lines.append(entry)
    return lines


def read_result(text: str) -> dict[str, Any] | None:
    """Read ``result.json``; None where there is none."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def phases(journal: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return ``[{name, started, seconds}]`` of the stage-two phases that ran, in their order.

    A phase lasts from its first entry to the first entry of the next phase, so that the sum is the
    time that passed; a phase that ran again after a restart of stage two starts at its first try.
    """
    first: dict[str, float] = {}
    end = 0.0
    for entry in journal:
        name = entry.get("phase")
        moment = float(entry["time"])
        # An entry written at the end of a step tells its length instead of its start.
        if entry.get("event") == "done" and name not in first:
            moment -= float(entry.get("seconds") or 0.0)
        if name in STAGE_TWO_PHASES:
            first.setdefault(str(name), moment)
        end = max(end, float(entry["time"]))
    order = [name for name in STAGE_TWO_PHASES if name in first]
    ends = [first[name] for name in order[1:]] + [end]
    return [
        {"name": name, "started": first[name], "seconds": round(max(0.0, stop - first[name]), 3)}
        for name, stop in zip(order, ends)
    ]
