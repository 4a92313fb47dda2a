# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbook ``status`` says of hosts: a document for programs, and a table for people.

The document of a host has ``system`` (``new_system``, ``old_system``, ``stage_two``, ``recovery``, ``unreachable``)
and ``problem`` (why there is no more to say, or empty); of a dual system also what ``dualroot-slot status --json``
printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import shape
from ..units import format_size

HEAD = ("host", "runs", "slot a", "slot b", "boots next", "least free")
#: What a file system has left below this part is shown as scarce.
SCARCE = 0.1

_TEXTS = ("kind", "name", "version", "layout", "run_id", "installed", "payload_sha256", "content_sha256", "title")
_SLOT = {"state": shape.one_of("good", "trying", "bad", "empty"), **dict.fromkeys(_TEXTS, shape.printable)}
_COUNT = shape.whole(0, 1 << 62)
#: What the command prints; the slots are left out where their state is lost.
SHAPE = {
    "running": shape.printable,
    "run_id": shape.printable,
    "mode": shape.printable,
    "order?": [shape.one_of("a", "b")],
    "tries?": _COUNT,
    "next?": shape.printable,
    "generation?": _COUNT,
    "boots_next?": shape.one_of("a", "b", "r"),
    "fell_back?": shape.boolean,
    "slots?": {"a": _SLOT, "b": _SLOT},
    "copies": [{"name": shape.printable, "damage": shape.printable}],
    "outcomes": [dict.fromkeys(("time", "slot", "run_id", "event", "reason"), shape.printable)],
    "tries_ended": [dict.fromkeys(("run_id", "slot", "reason"), shape.printable)],
    "file_systems": [
        {"device": shape.printable, "mount": shape.printable, "size_bytes": _COUNT, "free_bytes": _COUNT},
    ],
}


def read(text: str) -> dict[str, Any]:
    """Return what the command printed; raises ``ValueError`` where it is not whole or not of its shape."""
    document = shape.parse(text)
    problems = shape.problems(SHAPE, document)
    if problems:
        raise ValueError("; ".join(problems[:3]))
    return dict(document)


def show_table(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the table as lines, and below it what went wrong on each host, the newest first."""
    rows = [HEAD, *(row_of(host, status) for host, status in hosts.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, _line(tuple("-" * width for width in widths), widths))
    for host, status in hosts.items():
        lines += [f"{host}: {remark}" for remark in remarks(status)]
    return lines


def row_of(host: str, status: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one host, in the order of ``HEAD``."""
    return (
        host,
        _runs(status),
        _slot(status, "a"),
        _slot(status, "b"),
        {"": "-", "r": "recovery"}.get(str(status.get("boots_next", "")), f"slot {status.get('boots_next')}"),
        _least_free(status),
    )


def remarks(status: Mapping[str, Any]) -> list[str]:
    """Return what a person should know besides: problems, the last outcomes, reasons, scarce room."""
    found = [status["problem"]] if status.get("problem") else []
    found += [f"{copy['name']} of the slot state: {copy['damage']}" for copy in _listed(status, "copies", "damage")]
    if status.get("fell_back"):
        found.append(f"slot {status['order'][0]} is on trial, and another system came up")
    health = status.get("health")
    if isinstance(health, Mapping) and health.get("result") not in ("passed", None):
        found.append(f"health checks: {health['result']} {health.get('reason') or ''}".rstrip())
    for outcome in list(reversed(_listed(status, "outcomes")))[:3]:
        reason = f": {outcome['reason']}" if outcome["reason"] else ""
        found.append(f"{outcome['time']} slot {outcome['slot']} {outcome['event']}{reason}")
    for end in _listed(status, "tries_ended")[-3:]:
        found.append(f"a try of slot {end['slot']} (run {end['run_id']}) ended: {end['reason']}")
    for system in _listed(status, "file_systems"):
        if system["free_bytes"] < SCARCE * system["size_bytes"]:
            found.append(f"{system['mount']} has {format_size(system['free_bytes'])} left")
    return found


def _listed(status: Mapping[str, Any], name: str, needed: str = "") -> Sequence[Mapping[str, Any]]:
    return [one for one in status.get(name) or () if not needed or one[needed]]


def _runs(status: Mapping[str, Any]) -> str:
    system = str(status.get("system", ""))
    if system == "new_system":
        return f"slot {status.get('running') or '?'}"
    if system == "stage_two":
        return f"stage two, {status.get('phase') or 'starting'} {status.get('percent') or 0} %"
    return {"old_system": "old system", "recovery": "recovery system"}.get(system, system)


def _slot(status: Mapping[str, Any], slot: str) -> str:
    known = (status.get("slots") or {}).get(slot)
    if not known:
        return "-"
    name = "old system" if known["kind"] == "old" else f"{known['name']} {known['version']}".strip()
    tries = status.get("tries", 0)
    left = f" ({tries} left)" if known["state"] == "trying" else ""
    return ", ".join(part for part in (f"{known['state']}{left}", name) if part)


def _least_free(status: Mapping[str, Any]) -> str:
    # The dispatch file system is this project's own: nobody else writes there.
    systems = [one for one in _listed(status, "file_systems", "size_bytes") if one["mount"] != "/boot/dispatch"]
    if not systems:
        return "-"
    least = min(systems, key=lambda one: one["free_bytes"] / one["size_bytes"])
    return f"{format_size(least['free_bytes'])} of {format_size(least['size_bytes'])} {least['mount']}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
