# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pictures, findings and predictions as plain text for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..units import format_size
from .lifeboat import Berth

#: Characters of a drawn disk.
WIDTH = 64
_FILL = {"boot": "b", "system": "S", "lvm": "L", "swap": "w", "other": "o", "free": "."}
_SIGNS = {"refuse": "REFUSE", "warn": "warn  ", "info": "note  "}


def show_picture(title: str, picture: Mapping[str, Any]) -> str:
    """Return one disk as a bar and a list, such as ``[bbSSSSSS..]``."""
    size = format_size(int(picture["bytes"]))
    lines = [f"{title:<7} {picture['disk']}  {size}  {picture['table']}", f"  [{_bar(picture)}]"]
    for area in picture["areas"]:
        lines.append(f"   {_FILL[area['kind']]} {_row(area)}")
        lines += [f"       {_row(inner)}" for inner in area.get("inner") or []]
    return "\n".join(lines)


def show_berth(berth: Berth) -> str:
    """Return in one line what a lifeboat needs, and where it finds it."""
    needed = f"lifeboat {format_size(berth.needed_bytes)}"
    if berth.used:
        return f"{needed}, in what the old system and the new layout leave alone: {berth.places()}"
    return f"{needed}, and {format_size(berth.missing_bytes)} are missing: {berth.places()}"


def _row(area: Mapping[str, Any]) -> str:
    return f"{area['label']:<12} {format_size(int(area['bytes'])):>9}  {area['detail']}".rstrip()


def _bar(picture: Mapping[str, Any]) -> str:
    areas, total = picture["areas"], max(1, int(picture["bytes"]))
    widths = [max(1, round(int(area["bytes"]) * WIDTH / total)) for area in areas]
    while sum(widths) > WIDTH and max(widths) > 1:
        widths[widths.index(max(widths))] -= 1
    return "".join(_FILL[area["kind"]] * width for area, width in zip(areas, widths))


def show_findings(findings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the findings as lines: severity, id and text, with the remedy below."""
    lines = []
    for finding in findings:
        lines.append(f"{_SIGNS[finding['severity']]} {finding['id']}: {finding['what']}")
        if finding["severity"] != "info":
            lines += [f"       why: {finding['why']}", f"       how: {finding['how']}"]
    return lines or ["nothing was found that stands in the way"]


def show_prediction(predicted: Mapping[str, Any]) -> list[str]:
    """Return memory and downtime in two lines."""
    phases = ", ".join(f"{name} {seconds} s" for name, seconds in predicted["phases"].items())
    measured = ", ".join(predicted["calibrated"])
    rehearsal = f"the rehearsal {predicted['calibrated_by']}" if predicted.get("calibrated_by") else "a rehearsal"
    kept = ", the payload stays in the lifeboat" if predicted.get("lifeboat") else ""
    return [
        f"memory of stage two: {format_size(predicted['peak_ram_bytes'])} at its peak,"
        f" {format_size(predicted['needed_ram_bytes'])} needed{kept}",
        f"downtime: about {show_seconds(predicted['downtime_seconds'])} ({phases})",
        *([f"calibrated by {rehearsal}: {measured}"] if measured else []),
    ]


def show_seconds(seconds: float) -> str:
    """Return ``42 s`` or ``5 min 03 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"
