# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lines that a waiting person reads."""

from __future__ import annotations

from ..units import format_size
from .state import Dark, FellBack, NewSystem, OldSystem, Recovery, StageTwo, State


def format_elapsed(seconds: float) -> str:
    """Return ``1:05`` or ``1:02:03``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def _stage_two_line(state: StageTwo) -> str:
    if state.activity == "starting":
        return "stage two is starting"
    parts = [f"{state.phase:<9} {state.percent:3d} %"]
    if state.bytes_total:
        parts.append(f"{format_size(state.bytes_done)} of {format_size(state.bytes_total)}")
    if state.ram_used_bytes:
        parts.append(f"RAM {format_size(state.ram_used_bytes)}")
    if state.resumed:
        parts.append(f"resumed {state.resumed} time{'s' if state.resumed > 1 else ''}")
    if state.activity != "running":
        parts.append(state.activity)
    said = state.message or state.step
    if said:
        parts.append(said)
    return ", ".join(parts)


def said(state: State) -> str:
    """Return in a few words where a host is."""
    if isinstance(state, StageTwo):
        return _stage_two_line(state)
    if isinstance(state, OldSystem):
        return "the old system is going down"
    if isinstance(state, FellBack):
        return "the old system is back"
    if isinstance(state, NewSystem):
        return f"the new system runs in slot {state.slot}"
    if isinstance(state, Recovery):
        return "the recovery system runs"
    return "no login yet" if state.refused else "no answer"


def line(state: State, elapsed: float) -> str:
    """Return one line that says where a host is after ``elapsed`` seconds of waiting."""
    return f"{format_elapsed(elapsed):>7}  {said(state)}"


def key(state: State) -> tuple[object, ...]:
    """Return what must change before another line is worth showing at once."""
    if isinstance(state, StageTwo):
        return ("stage_two", state.activity, state.phase, state.percent // 10)
    if isinstance(state, Dark):
        return ("dark", state.refused)
    return (type(state).__name__,)
