# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which system a host runs; see modules/where.py."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.faults import convert as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.waiting.observation import Answer, Observation
from ..module_utils.waiting.state import (
    Dark,
    NewSystem,
    OldSystem,
    Recovery,
    StageTwo,
    State,
    classify,
)
from ..plugin_utils.link import Link
from ..plugin_utils.results import failed

_NAMES = {
    OldSystem: "old_system",
    StageTwo: "stage_two",
    NewSystem: "new_system",
    Recovery: "recovery",
}


class ActionModule(ActionBase):
    """Ends in *failed* where a host does not answer, so that a rescue and a guard can see it."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "timeout": {"type": "int", "default": 60},
                "probe_timeout": {"type": "int", "default": 40},
            }
        )
        with Link(self._connection, arguments["probe_timeout"]) as link:
            observation = self._look(link, time.monotonic() + arguments["timeout"])
        state = classify(observation)
        if isinstance(state, Dark):
            kind = kinds.HOST_KEY_CHANGED if state.key_changed else kinds.NO_ANSWER
            return failed(Fault(kind, detail=state.reason), system="dark", changed=False)
        return {"changed": False, **_fields(state)}

    def _look(self, link: Link, deadline: float) -> Observation:
        while True:
            observation = link.observe()
            state = classify(observation)
            key_changed = isinstance(state, Dark) and state.key_changed
            if isinstance(observation, Answer) or key_changed or time.monotonic() >= deadline:
                return observation
            # A host that is between two systems answers soon.
            time.sleep(3)


def _fields(state: State) -> dict[str, Any]:
    fields = {"run_id": None, "slot": None, "slot_state": None, "fact": None, **dataclasses.asdict(state)}
    return {"system": _NAMES[type(state)], **fields}
