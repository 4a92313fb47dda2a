# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wait for a dual-system host that restarts from one slot into the other: observations in, decisions out.

The sibling of ``machine`` for updates and rollbacks, and as pure. There is no stage two here: the host goes dark and
comes back in the slot that was wanted, or, when the tries of that slot are used up, in the one it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..faults import convert as common
from ..faults import slots as kinds
from ..faults.fault import Fault
from . import progress
from .machine import Failed, Finished, KeepWaiting
from .observation import Answer, Observation
from .state import Dark, NewSystem, OldSystem, Recovery, State, classify

#: What an outcome is called that tells why a slot is not what runs; see ``boot/records.py``.
ENDINGS = ("fell_back", "bad")
#: The old system of a migration, kept until ``commit``: it carries no mark of a slot.
KEPT_OLD = "old"

SlotDecision = Union[KeepWaiting, Finished, Failed]


@dataclass(frozen=True)
class Wanted:
    """The slot that is to come up and the run that installed it; an empty ``run_id`` is not compared.

    ``kind`` is that of the slot's record, ``bundle`` or ``old``. ``known`` are the outcomes that the host told
    before it restarted: they explain nothing.
    """

    slot: str
    run_id: str = ""
    kind: str = "bundle"
    from_slot: str = ""
    old_boot_id: str | None = None
    known: tuple[Mapping[str, Any], ...] = ()
    key_warning_before: bool = False


@dataclass(frozen=True)
class SlotLimits:
    """All in seconds; ``total`` must cover every try of the slot, since each of them ends by itself."""

    total: float = 3600.0
    #: services that take their time to stop: systemd kills them after 90 s each
    reboot: float = 400.0
    #: from the first login after a fall back until the host has written down why
    reason: float = 60.0
    #: from the first login in a slot on trial until its checks have begun; slots of an early release have none
    health: float = 20.0
    pause: float = 2.0


class SlotWait:
    """The state of one wait; ``state``, ``boot_ids``, ``reason`` and ``up_since`` may be read at any time."""

    def __init__(self, wanted: Wanted, limits: SlotLimits, started: float) -> None:
        self.wanted = wanted
        self.limits = limits
        self.started = started
        self.state: State = Dark("not looked yet")
        self.boot_ids: dict[str, str | None] = {"old": wanted.old_boot_id, "stage_two": None, "new": None}
        #: Why the slot was given up, as the host wrote it down; empty where it did not.
        self.reason = ""
        #: The first login on the system that runs; None while the old one goes down and while nobody answers.
        self.up_since: float | None = None
        #: What the checks of the slot said last while they had not passed.
        self._checks = ""
        self._there_since: float | None = None
        self._back_since: float | None = None
        self._refused_since: float | None = None

    def step(self, now: float, observation: Observation) -> SlotDecision:
        """Take one observation made at ``now`` and say what to do."""
        self.state = state = classify(observation)
        answer = observation if isinstance(observation, Answer) else None
        if answer is not None and answer.key_warning and not self.wanted.key_warning_before:
            return _failed(common.HOST_KEY_CHANGED, detail="ssh warned of it while host key checking is off")
        if not (isinstance(state, Dark) and state.refused):
            self._refused_since = None
        if isinstance(state, Dark) or self._is_going():
            self.up_since = None
        elif self.up_since is None:
            self.up_since = now
        decision = self._decide(now, state, answer)
        if isinstance(decision, KeepWaiting) and now - self.started >= self.limits.total:
            return self._timed_out(now)
        return decision

    def line(self, elapsed: float) -> str:
        """Return one line for the person who waits."""
        return f"{progress.format_elapsed(elapsed):>7}  {self._said()}"

    def mark(self) -> tuple[object, ...]:
        """Return what must change before another line is worth showing at once."""
        state = self.state
        return (type(state).__name__, getattr(state, "refused", None), self._is_going(), self._checks)

    def _decide(self, now: float, state: State, answer: Answer | None) -> SlotDecision:
        if isinstance(state, Dark):
            return self._dark(now, state)
        if self._is_going():
            if now - self.started >= self.limits.reboot:
                return _failed(kinds.RESTART_IGNORED, seconds=int(now - self.started))
            return KeepWaiting(self.limits.pause)
        if isinstance(state, NewSystem):
            return self._slot(now, state, answer)
        if isinstance(state, OldSystem):
            return self._old_system(state)
        if isinstance(state, Recovery):
            return _failed(common.IN_RECOVERY, run_id=state.run_id or "unknown")
        found = getattr(state, "run_id", "")
        return _failed(common.FOREIGN_RUN, system="stage two", found=found, wanted=self.wanted.run_id)

    def _is_going(self) -> bool:
        before = self.wanted.old_boot_id
        return before is not None and getattr(self.state, "boot_id", None) == before

    def _dark(self, now: float, state: Dark) -> SlotDecision:
        if state.key_changed:
            return _failed(common.HOST_KEY_CHANGED, detail=state.reason)
        if state.refused and self._refused_since is None:
            self._refused_since = now
        # A slot on trial that refuses the login ends by its tries: nothing is given up before the time is up.
        return KeepWaiting(self.limits.pause)

    def _slot(self, now: float, state: NewSystem, answer: Answer | None) -> SlotDecision:
        if state.slot == self.wanted.slot:
            return self._wanted_slot(now, state, answer)
        self._checks = ""
        self._back_since = now if self._back_since is None else self._back_since
        self.reason = self._reason_in(answer.outcomes if answer else ())
        if not self.reason and now - self._back_since < self.limits.reason:
            return KeepWaiting(self.limits.pause)
        why = self.reason or "the host wrote down no reason"
        return Failed("fell_back", _record(kinds.FELL_BACK, slot=self.wanted.slot, running=state.slot, reason=why))

    def _wanted_slot(self, now: float, state: NewSystem, answer: Answer | None) -> SlotDecision:
        self.boot_ids["new"] = state.boot_id
        if self.wanted.run_id and state.run_id != self.wanted.run_id:
            found = state.run_id or "none"
            return _failed(common.FOREIGN_RUN, system=f"slot {state.slot}", found=found, wanted=self.wanted.run_id)
        self._there_since = now if self._there_since is None else self._there_since
        health = answer.health if answer else None
        if health is None and (state.slot_state != "trying" or now - self._there_since >= self.limits.health):
            return Finished("started")
        health = health or {"result": "not begun"}
        if health.get("result") == "passed":
            return Finished("started")
        # Its own checks decide: where they fail to the end, the slot restarts by itself, and writes down why.
        self._checks = str(health.get("reason") or health.get("result") or "")
        return KeepWaiting(self.limits.pause)

    def _old_system(self, state: OldSystem) -> SlotDecision:
        self.boot_ids["new"] = state.boot_id
        if self.wanted.kind == KEPT_OLD:
            return Finished("started")
        return _failed(kinds.NO_SLOT)

    def _reason_in(self, outcomes: tuple[Mapping[str, Any], ...]) -> str:
        told = [
            str(one.get("reason") or one["event"])
            for one in outcomes
            if one not in self.wanted.known
            and one.get("slot") == self.wanted.slot
            and one.get("event") in ENDINGS
            and (not self.wanted.run_id or one.get("run_id") in (self.wanted.run_id, ""))
        ]
        return told[-1] if told else ""

    def _timed_out(self, now: float) -> Failed:
        if self._refused_since is not None:
            detail = getattr(self.state, "reason", "")
            return _failed(common.LOGIN_REFUSED, seconds=int(now - self._refused_since), detail=detail)
        elapsed = progress.format_elapsed(now - self.started)
        return _failed(kinds.TIMED_OUT, slot=self.wanted.slot, elapsed=elapsed, now=self._said())

    def _said(self) -> str:
        state = self.state
        if self._is_going():
            return "the host is going down"
        if isinstance(state, NewSystem):
            if state.slot != self.wanted.slot:
                return f"slot {state.slot} runs, not slot {self.wanted.slot}"
            return f"slot {state.slot} runs" + (f", its checks: {self._checks}" if self._checks else "")
        return progress.said(state)


def _failed(kind: Any, **particulars: Any) -> Failed:
    return Failed("failed", _record(kind, **particulars))


def _record(kind: Any, **particulars: Any) -> Mapping[str, Any]:
    return Fault(kind, **particulars).record()
