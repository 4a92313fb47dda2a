# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what a host runs and what its slots hold; see modules/slot_status.py."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.boot.slot_command import TEXT
from ..module_utils.report import status as report
from ..module_utils.waiting.observation import Answer, Observation
from ..module_utils.waiting.state import Dark, NewSystem, Recovery, StageTwo, classify
from ..plugin_utils.link import Link, LinkDown

#: The text of the command travels along: no Python on the host, and no release of it there, is needed.
_ASK = "/bin/sh -s -- status --json"
_STAGE_TWO = ("run_id", "phase", "step", "percent", "activity", "message", "mode", "fault")


class ActionModule(ActionBase):
    """Never fails for the state of a host: that is what it tells."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={"timeout": {"type": "int", "default": 20}, "probe_timeout": {"type": "int", "default": 40}}
        )
        with Link(self._connection, arguments["probe_timeout"]) as link:
            observation = self._look(link, time.monotonic() + arguments["timeout"])
            status = self._status(link, observation)
        return {"changed": False, "status": status}

    def _look(self, link: Link, deadline: float) -> Observation:
        while True:
            observation = link.observe()
            state = classify(observation)
            final = isinstance(state, Dark) and state.key_changed
            if isinstance(observation, Answer) or final or time.monotonic() >= deadline:
                return observation
            time.sleep(3)

    def _status(self, link: Link, observation: Observation) -> dict[str, Any]:
        state = classify(observation)
        if isinstance(state, Dark):
            word = "it answers with another SSH host key" if state.key_changed else "no answer"
            return {"system": "unreachable", "problem": f"{word}: {state.reason}"}
        if isinstance(state, StageTwo):
            known = dataclasses.asdict(state)
            return {"system": "stage_two", "problem": "", **{name: known[name] for name in _STAGE_TWO}}
        kept = isinstance(observation, Answer) and observation.arguments.get("mode") == "old"
        if isinstance(state, (NewSystem, Recovery)) or kept:
            system = "recovery" if isinstance(state, Recovery) else "old_system" if kept else "new_system"
            return {"system": system, **self._slots(link, isinstance(state, Recovery))}
        return {"system": "old_system", "problem": ""}

    def _slots(self, link: Link, in_memory: bool) -> dict[str, Any]:
        """Return what the command says; with root's rights where they can be had, which mounting needs."""
        problem = ""
        for ask in (self._as_login,) if in_memory else (self._as_root, self._as_login):
            try:
                return {"problem": "", **report.read(ask(link))}
            except (LinkDown, AnsibleError) as error:
                problem = problem or f"the slots could not be asked: {error}"
            except ValueError as error:
                problem = problem or f"the answer of the host cannot be read: {error}"
        return {"problem": problem}

    def _as_root(self, _link: Link) -> str:
        # With data the connection plugin opens no terminal, which would change the lines.
        done = self._low_level_execute_command(_ASK, sudoable=True, in_data=TEXT.encode("ascii"))
        return _printed(done["rc"], str(done["stdout"]), str(done.get("stderr") or ""))

    def _as_login(self, link: Link) -> str:
        return _printed(*link.run(f"set -- status --json\n{TEXT}"))


def _printed(status: int, out: str, err: str) -> str:
    if status != 0:
        lines = (err or out).strip().splitlines()
        raise AnsibleError(lines[-1] if lines else f"status {status}")
    return out
