# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Disks and time lines as SVG, inline in the page; every text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ..phases import POINT_OF_NO_RETURN, STAGE_TWO_PHASES
from ..units import format_size

WIDTH = 900
_HEIGHT = 46
_COLOURS = {
    "boot": "#8fb6d9",
    "system": "#7fbf8f",
    "lvm": "#c9dfb5",
    "swap": "#d9c58f",
    "other": "#c9b3d9",
    "free": "#eeeeee",
}
#: Below this many pixels a text does not fit into its area.
_TEXT_FROM = 46


def disk(picture: Mapping[str, Any]) -> str:
    """Return a disk as a bar of areas, the volumes of a group as a second row inside it."""
    parts, position = [], 0.0
    shares = _widths([int(area["bytes"]) for area in picture["areas"]])
    for area, width in zip(picture["areas"], shares):
        inner = area.get("inner") or []
        height = _HEIGHT / 2 if inner else _HEIGHT
        parts.append(_area(area, position, 0, width, height))
        offset = position
        for volume in inner:
            share = width * int(volume["bytes"]) / max(1, sum(int(one["bytes"]) for one in inner))
            parts.append(_area(volume, offset, height, share, height))
            offset += share
        position += width
    title = f"{picture['disk']}, {format_size(int(picture['bytes']))}, {picture['table']}"
    return _svg(title, "".join(parts))


def _widths(sizes: Sequence[int]) -> list[float]:
    # Small areas stay visible; the large ones give up what that needs.
    total = max(1, sum(sizes))
    raised = [max(6.0, size * WIDTH / total) for size in sizes]
    return [width * WIDTH / sum(raised) for width in raised]


def _area(area: Mapping[str, Any], x: float, y: float, width: float, height: float) -> str:
    label = escape(str(area["label"]))
    size = format_size(int(area["bytes"]))
    text = ""
    if width >= _TEXT_FROM:
        fitting = escape(str(area["label"])[: int(width / 7)])
        text = f'<text x="{x + 4:.1f}" y="{y + height / 2 + 4:.1f}">{fitting}</text>'
    return (
        f"<g><title>{label} {escape(size)} {escape(str(area.get('detail') or ''))}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
        f' fill="{_COLOURS.get(str(area["kind"]), _COLOURS["other"])}" stroke="#555"/>{text}</g>'
    )


def time_line(phases: Sequence[Mapping[str, Any]]) -> str:
    """Return the phases as a bar of their seconds; those past the point of no return are darker."""
    total = sum(float(phase.get("seconds") or 0) for phase in phases) or 1.0
    parts, position = [], 0.0
    for phase in phases:
        name, seconds = str(phase.get("name")), float(phase.get("seconds") or 0)
        width = seconds * WIDTH / total
        text = ""
        if width >= _TEXT_FROM:
            text = f'<text x="{position + 4:.1f}" y="18">{escape(name[: int(width / 7)])}</text>'
        parts.append(
            f"<g><title>{escape(name)} {seconds:.1f} s</title>"
            f'<rect x="{position:.1f}" y="0" width="{width:.1f}" height="28"'
            f' fill="{_phase_colour(name)}" stroke="#555"/>{text}</g>'
        )
        position += width
    return _svg(f"{total:.0f} s", "".join(parts), height=28)


def _phase_colour(name: str) -> str:
    if name in STAGE_TWO_PHASES:
        past = STAGE_TWO_PHASES.index(name) >= STAGE_TWO_PHASES.index(POINT_OF_NO_RETURN)
        return "#e0a458" if past else "#a9c7e8"
    return "#d5d5d5"


def _svg(title: str, content: str, height: int = _HEIGHT) -> str:
    return (
        f'<svg role="img" viewBox="-1 -1 {WIDTH + 2} {height + 2}" width="{WIDTH}"'
        f' xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{content}</svg>'
    )
