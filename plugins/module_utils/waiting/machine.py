# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wait for a host that reboots into stage two and on: observations in, decisions out.

Nothing here sleeps, connects or reads a clock: the caller probes, hands over what it saw and the
time, and does what it is told. So every branch runs in a unit test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..faults import convert as kinds
from ..faults import revive
from ..faults.fault import Fault
from . import progress
from .observation import Answer, Observation
from .state import (
    Dark,
    FellBack,
    NewSystem,
    OldSystem,
    Recovery,
    StageTwo,
    State,
    classify,
)

#: Until the dispatch partition is asked.
UNTOLD = "What ended its tries is not known."


@dataclass(frozen=True)
class Expectation:
    """What the run waits for; ``old_boot_id`` is None when the run attaches to a running stage two."""

    run_id: str
    plan_digest: str
    slot: str
    mode: str = "convert"
    old_boot_id: str | None = None
    #: ssh warned of the host key before the reboot already, so its warning proves nothing
    key_warning_before: bool = False


@dataclass(frozen=True)
class Limits:
    """All in seconds.

    ``reboot`` covers services that take their time to stop (systemd kills them after 90 s each);
    ``refused`` covers a system that answers before its logins work.
    """

    total: float = 3600.0
    reboot: float = 400.0
    refused: float = 240.0
    #: between two looks at a working stage two; a look costs it a key exchange
    pause: float = 4.0
    #: between two looks while the host is about to appear or to go
    short_pause: float = 2.0
    #: the go is sent again if stage two still awaits it after this time
    go_again: float = 20.0


@dataclass(frozen=True)
class KeepWaiting:
    """Look again after ``seconds``."""

    seconds: float


@dataclass(frozen=True)
class GiveGo:
    """Write ``digest`` to ``/run/dualroot/go``, then look again."""

    digest: str


@dataclass(frozen=True)
class Acknowledge:
    """Fetch status and journal, then touch ``/run/dualroot/seen``; call ``acknowledged`` if it worked."""


@dataclass(frozen=True)
class Finished:
    """The wait is over and well: ``converted``, or ``returned`` after a rehearsal."""

    outcome: str


@dataclass(frozen=True)
class Failed:
    """The wait is over: ``returned`` (the old system runs) or ``failed``, with a fault record."""

    outcome: str
    fault: Mapping[str, Any]


Decision = Union[KeepWaiting, GiveGo, Acknowledge, Finished, Failed]


class Wait:
    """The state of one wait. ``state``, ``boot_ids``, ``peak_ram_bytes`` and ``resumed`` may be read at any time."""

    def __init__(self, expected: Expectation, limits: Limits, started: float) -> None:
        self.expected = expected
        self.limits = limits
        self.started = started
        self.state: State = Dark("not looked yet")
        self.boot_ids: dict[str, str | None] = {"old": expected.old_boot_id, "stage_two": None, "new": None}
        self.peak_ram_bytes = 0
        #: How often stage two started again after a cut: the larger of what was seen and what it told.
        self.resumed = 0
        self._starts: set[str] = set()
        self.last_stage_two: StageTwo | None = None
        self._acknowledged = False
        self._go_given: float | None = None
        self._refused_since: float | None = None
        self._withheld: Mapping[str, Any] | None = None

    def acknowledged(self) -> None:
        """Tell the machine that stage two's last words were fetched and acknowledged."""
        self._acknowledged = True

    def line(self, elapsed: float) -> str:
        """Return one line for the person who waits."""
        return progress.line(self.state, elapsed)

    def mark(self) -> tuple[object, ...]:
        """Return what must change before another line is worth showing at once."""
        return progress.key(self.state)

    def step(self, now: float, observation: Observation) -> Decision:
        """Take one observation made at ``now`` and say what to do."""
        self.state = state = classify(observation, self.expected.old_boot_id)
        if isinstance(observation, Answer) and observation.key_warning and not self.expected.key_warning_before:
            return self._failed(kinds.HOST_KEY_CHANGED, detail="ssh warned of it while host key checking is off")
        decision = self._decide(now, state)
        over_time = now - self.started >= self.limits.total
        if over_time and isinstance(decision, (KeepWaiting, GiveGo)):
            return self._timed_out(now)
        return decision

    def _decide(self, now: float, state: State) -> Decision:
        if not (isinstance(state, Dark) and state.refused):
            self._refused_since = None
        if isinstance(state, Dark):
            return self._dark(now, state)
        if isinstance(state, OldSystem):
            return self._old_system(now)
        if isinstance(state, StageTwo):
            return self._stage_two(now, state)
        if isinstance(state, NewSystem):
            return self._new_system(now, state)
        if isinstance(state, Recovery):
            return self._failed(kinds.IN_RECOVERY, run_id=state.run_id or "unknown")
        return self._fell_back(state)

    def _dark(self, now: float, state: Dark) -> Decision:
        if state.key_changed:
            return self._failed(kinds.HOST_KEY_CHANGED, detail=state.reason)
        if state.refused:
            self._refused_since = now if self._refused_since is None else self._refused_since
            if now - self._refused_since >= self.limits.refused:
                return self._failed(kinds.LOGIN_REFUSED, seconds=int(now - self._refused_since), detail=state.reason)
        return KeepWaiting(self.limits.short_pause)

    def _old_system(self, now: float) -> Decision:
        if self.expected.old_boot_id is None:
            # Attached to a stage two that has gone back since; it ran, so this is its return.
            return self._fell_back(FellBack(getattr(self.state, "boot_id", "")))
        return self._not_gone_yet(now)

    def _not_gone_yet(self, now: float) -> Decision:
        if now - self.started >= self.limits.reboot:
            return self._failed(kinds.REBOOT_IGNORED, "returned", seconds=int(now - self.started))
        return KeepWaiting(self.limits.short_pause)

    def _stage_two(self, now: float, state: StageTwo) -> Decision:
        if state.run_id and state.run_id != self.expected.run_id:
            return self._failed(kinds.FOREIGN_RUN, system="stage two", found=state.run_id, wanted=self.expected.run_id)
        self.boot_ids["stage_two"] = state.boot_id
        # A cut is nothing to give up for: the lifeboat starts stage two again, and it goes on.
        self._starts.add(state.boot_id)
        self.resumed = max(self.resumed, state.resumed, len(self._starts) - 1)
        self.last_stage_two = state
        self.peak_ram_bytes = max(self.peak_ram_bytes, state.ram_peak_bytes, state.ram_used_bytes)
        if state.activity == "awaiting":
            return self._awaiting(now, state)
        if state.activity in ("returning", "sealed"):
            return KeepWaiting(self.limits.short_pause) if self._acknowledged else Acknowledge()
        if state.activity == "holding":
            return Failed("failed", state.fault or _record(kinds.HOLDING, step=state.step or state.phase))
        return KeepWaiting(self.limits.pause)

    def _awaiting(self, now: float, state: StageTwo) -> Decision:
        if state.plan_digest != self.expected.plan_digest:
            # No go: nothing is written, and stage two goes back to the old system by itself.
            self._withheld = _record(
                kinds.FOREIGN_PLAN, found=state.plan_digest or "none", wanted=self.expected.plan_digest
            )
            return KeepWaiting(self.limits.pause)
        if self._go_given is not None and now - self._go_given < self.limits.go_again:
            return KeepWaiting(self.limits.short_pause)
        self._go_given = now
        return GiveGo(self.expected.plan_digest)

    def _new_system(self, now: float, state: NewSystem) -> Decision:
        self.boot_ids["new"] = state.boot_id
        if state.run_id != self.expected.run_id:
            return self._failed(
                kinds.FOREIGN_RUN,
                system="the new system",
                found=state.run_id or "none",
                wanted=self.expected.run_id,
            )
        if state.slot != self.expected.slot:
            return self._failed(kinds.WRONG_SLOT, found=state.slot, wanted=self.expected.slot)
        return Finished("converted")

    def _fell_back(self, state: FellBack) -> Decision:
        last = self.last_stage_two
        if self._withheld is not None:
            return Failed("returned", self._withheld)
        if state.run_id == self.expected.run_id:
            return self._failed(kinds.TRIAL_FAILED, "returned", reason=UNTOLD)
        if last is not None and last.fault is not None:
            return Failed("returned", last.fault)
        if last is not None and last.activity == "returning" and self.expected.mode == "rehearse":
            return Finished("returned")
        if last is None:
            return self._failed(kinds.FELL_BACK, "returned")
        return self._failed(kinds.RETURNED_SILENTLY, "returned", phase=last.phase)

    def _timed_out(self, now: float) -> Failed:
        last = self.last_stage_two
        seen = f"stage two in phase {last.phase} ({last.activity})" if last else "the old system"
        current = self.state.reason if isinstance(self.state, Dark) else "it answers"
        return self._failed(
            kinds.TIMED_OUT, elapsed=progress.format_elapsed(now - self.started), last_seen=seen, now=current
        )

    def _failed(self, kind: Any, outcome: str = "failed", **particulars: Any) -> Failed:
        return Failed(outcome, _record(kind, **particulars))


def settle(decision: Failed, left_behind: Mapping[str, Any] | None, mode: str) -> Finished | Failed:
    """Return the decision in the light of the result that stage two left in the old root.

    It counts where the wait itself saw no reason for the return.
    """
    unexplained = (kinds.FELL_BACK.id, kinds.RETURNED_SILENTLY.id, revive.WENT_BACK.id)
    if left_behind is None or decision.fault.get("id") not in unexplained:
        return decision
    fault = left_behind.get("fault")
    if isinstance(fault, Mapping) and fault.get("id"):
        return Failed("returned", fault)
    return Finished("returned") if mode == "rehearse" else decision


def _record(kind: Any, **particulars: Any) -> Mapping[str, Any]:
    return Fault(kind, **particulars).record()
