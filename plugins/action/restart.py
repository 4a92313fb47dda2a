# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart a dual-system host and wait for the slot that comes up; see modules/restart.py."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..module_utils.faults import slots as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.waiting.machine import Failed
from ..module_utils.waiting.observation import Answer
from ..module_utils.waiting.slot_wait import KEPT_OLD, SlotLimits, SlotWait, Wanted
from ..module_utils.waiting.state import NewSystem, OldSystem, StageTwo, State, classify
from ..plugin_utils.leading import LeadingAction
from ..plugin_utils.link import Link
from ..plugin_utils.results import failed

_OTHERS = {OldSystem: "its old system", StageTwo: "stage two"}


class ActionModule(LeadingAction):
    """Ends in *failed*, never in *unreachable*: ansible-core does not stop a rollout on the latter."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "slot": {"type": "str", "required": True, "choices": ["a", "b"]},
                "slot_run_id": {"type": "str", "default": ""},
                "kind": {"type": "str", "default": "bundle", "choices": ["bundle", KEPT_OLD]},
                "run_id": {"type": "str", "required": True},
                "timeout": {"type": "int", "default": 3600},
                "probe_timeout": {"type": "int", "default": 40},
            }
        )
        self._host = self.inventory_name(task_vars)
        self._began = time.time()
        if self._task.check_mode:
            return {"changed": True, "msg": "check mode: the host is not restarted"}
        try:
            self.check_remote()
            with Link(self._connection, arguments["probe_timeout"]) as link:
                return self._restart(link, arguments)
        except Fault as fault:
            return self._result("failed", failed(fault), None)

    def _restart(self, link: Link, given: Mapping[str, Any]) -> dict[str, Any]:
        first = self.first_look(link)
        state = classify(first)
        there = _is_there(state, given)
        if not there and not (isinstance(state, NewSystem) or (isinstance(state, OldSystem) and _has_slots(first))):
            raise Fault(kinds.NOT_DUAL, found=_OTHERS.get(type(state), "the recovery system"))
        went_down = time.monotonic()
        if not there:
            self.reboot(given["run_id"], f"slot {given['slot']}", give_back=True)
        limits = SlotLimits(total=float(given["timeout"]))
        wanted = _wanted(given, first, state, None if there else first.boot_id)
        wait = SlotWait(wanted, limits, time.monotonic())
        decision = self.lead(link, wait)
        ending = failed(decision.fault) if isinstance(decision, Failed) else {"changed": not there}
        up = None if there or decision.outcome == "failed" else wait.up_since
        downtime = None if up is None else up - went_down
        return self._result(decision.outcome, ending, wait, downtime)

    def _result(
        self, outcome: str, ending: Mapping[str, Any], wait: SlotWait | None, downtime: float | None = None
    ) -> dict[str, Any]:
        state = wait.state if wait else None
        return {
            "changed": True,
            "fault": None,
            **ending,
            "outcome": outcome,
            "host": self._host,
            "slot": getattr(state, "slot", None),
            "reason": wait.reason if wait else "",
            "started": self._began,
            "seconds": round(time.time() - self._began, 1),
            "downtime_seconds": None if downtime is None else round(downtime, 1),
            "boot_ids": wait.boot_ids if wait else {"old": None, "stage_two": None, "new": None},
        }


def _is_there(state: State, given: Mapping[str, Any]) -> bool:
    if given["kind"] == KEPT_OLD:
        return isinstance(state, OldSystem)
    return (
        isinstance(state, NewSystem)
        and state.slot == given["slot"]
        and state.run_id == (given["slot_run_id"] or state.run_id)
    )


def _has_slots(answer: Answer) -> bool:
    """Tell whether a system without a mark of its own stands beside slots: the kept old system of a migration."""
    return any(name in answer.slots for name in ("dr_a", "dr_b"))


def _wanted(given: Mapping[str, Any], first: Answer, state: State, boot_id: str | None) -> Wanted:
    return Wanted(
        slot=given["slot"],
        run_id=given["slot_run_id"],
        kind=given["kind"],
        from_slot=getattr(state, "slot", ""),
        old_boot_id=boot_id,
        known=first.outcomes,
        key_warning_before=first.key_warning,
    )
