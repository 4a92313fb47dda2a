# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Going back to the other slot: whether there is anything to do, whether it may be done, and the write that does it.

The slot that is gone back to is on trial like a new one, because what was good months ago may not be good now: three
tries, and then the system that runs at this moment again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..faults import slots as kinds
from ..faults.fault import Fault
from . import slot_state
from .records import Outcome, SlotRecord
from .slot_state import SlotState


@dataclass(frozen=True)
class Host:
    """What is known of a host: the state, the slot that runs (empty for a system that is none), and the records."""

    state: SlotState
    running: str
    records: Mapping[str, SlotRecord]
    outcomes: Sequence[Outcome]


@dataclass(frozen=True)
class Rollback:
    """``target`` is the slot that is to run; ``needed`` is false where the host runs what it should already."""

    target: str
    needed: bool
    why: str


def choose(host: Host, wanted: str = "", force: bool = False) -> Rollback:
    """Return where to go back to; ``wanted`` names a slot, by default it is the other one.

    A host that was rolled back stays where it is, so that a second run does nothing. Raises ``Fault``
    ``rollback.not_good`` unless ``force``, and ``rollback.nothing_there`` always.
    """
    target = wanted or other(host.running)
    if target == host.running:
        return Rollback(target, False, f"the host runs slot {target} already")
    if not wanted and _was_rolled_back(host):
        return Rollback(host.running, False, f"the host was rolled back to slot {host.running} already")
    found = host.state.state_of(target)
    if found == "empty":
        raise Fault(kinds.NOTHING_THERE, slot=target)
    if found != "good" and not force:
        raise Fault(kinds.NOT_GOOD, slot=target, state=found, reason=_reason(host.outcomes, target))
    return Rollback(target, True, f"slot {target} is {found}")


def other(slot: str) -> str:
    """Return the other slot; a system that is no slot is the kept one of a migration, and slot a is the other."""
    return "b" if slot == "a" else "a"


def event(host: Host, target: str) -> str:
    """Return what the move is told as: going on to the newer system is no rollback, and can be rolled back."""
    left, there = host.records.get(host.running), host.records.get(target)
    return "good" if left and there and there.installed > left.installed else "rolled_back"


def change(state: SlotState, running: str, target: str) -> SlotState:
    """Return the state in which the dispatcher boots ``target`` next.

    A slot that runs on trial is given up by it: there is one count of tries, and it has not proven itself.
    """
    if running and state.state_of(running) == "trying":
        state = slot_state.mark_bad(state, running)
        if state.state_of(target) == "good":
            return state
    return slot_state.mark_trying(state, target)


def _was_rolled_back(host: Host) -> bool:
    """Tell whether the last thing that changed what runs was a rollback to the slot that runs."""
    moves = [one for one in host.outcomes if one.event in ("good", "rolled_back", "restored")]
    return bool(moves) and moves[-1].event == "rolled_back" and moves[-1].slot == host.running


def _reason(outcomes: Sequence[Outcome], slot: str) -> str:
    told = [one.reason or one.event for one in outcomes if one.slot == slot and one.event in ("bad", "fell_back")]
    return told[-1] if told else "nobody wrote down why"
