# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The last thing that a run shows: one line for each host, the trouble below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..plan.text import show_seconds
from ..units import format_size
from .result import state_of

HEAD = ("host", "outcome", "slot", "downtime", "predicted", "peak memory", "fault")


def row_of(host: str, documents: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of one host, in the order of ``HEAD``."""
    result = documents.get("result") or {}
    predicted = (documents.get("preflight") or {}).get("predicted") or {}
    predicted = predicted or (documents.get("plan") or {}).get("predicted") or {}
    fault = result.get("fault") or documents.get("fault") or {}
    return (
        host,
        state_of(documents),
        str(result.get("slot") or "-"),
        _seconds(result.get("downtime_seconds")),
        _seconds(predicted.get("downtime_seconds")),
        format_size(int(result["peak_ram_bytes"])) if result.get("peak_ram_bytes") else "-",
        str(fault.get("id") or "-"),
    )


def _seconds(value: Any) -> str:
    return "-" if value is None else show_seconds(float(value))


def show_table(hosts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the final table as lines, with what, why and how of every fault below it."""
    rows = [HEAD, *(row_of(host, documents) for host, documents in hosts.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, _line(tuple("-" * width for width in widths), widths))
    for host, documents in hosts.items():
        fault = (documents.get("result") or {}).get("fault") or documents.get("fault")
        if fault:
            lines += [f"{host}: {fault['what']}", f"  why: {fault['why']}", f"  how: {fault['how']}"]
    return lines


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip()
