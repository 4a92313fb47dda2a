# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which system a host runs; see modules/where.py."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ..module_utils.faults import convert as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.report import files
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
from ..plugin_utils import keeping
from ..plugin_utils.link import Link, LinkDown
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
                "fetch": {"type": "bool", "default": False},
                "left_of_restore": {"type": "bool", "default": False},
                "run_id": {"type": "str", "default": ""},
                "directory": {"type": "path"},
            }
        )
        with Link(self._connection, arguments["probe_timeout"]) as link:
            observation = self._look(link, time.monotonic() + arguments["timeout"])
            state = classify(observation)
            kept = self._fetch(link, state, arguments["run_id"]) if arguments["fetch"] else None
            left = self._left(state) if arguments["left_of_restore"] else {}
        if isinstance(state, Dark):
            kind = kinds.HOST_KEY_CHANGED if state.key_changed else kinds.NO_ANSWER
            return failed(Fault(kind, detail=state.reason), system="dark", changed=False)
        run_id = arguments["run_id"] or str(getattr(state, "run_id", ""))
        # A host that came to its end has been reported; one in memory forgets what it knows with its next restart.
        wanted = arguments["run_id"] or isinstance(state, (StageTwo, Recovery))
        if kept and run_id and wanted and arguments["directory"] and not self._task.check_mode:
            host = str((task_vars or {}).get("inventory_hostname", ""))
            keeping.keep(files.host_folder(Path(arguments["directory"]).absolute(), run_id, host), kept)
        # The log is long, and a failing task prints its result.
        shown = {name: value for name, value in kept.items() if name != "log"} if kept else None
        return {"changed": False, **_fields(state), "kept": shown, **left}

    def _left(self, state: State) -> dict[str, Any]:
        if not isinstance(state, (OldSystem, NewSystem)):
            return {}
        try:
            found = keeping.left_of_restore(self._as_root)
        except (LinkDown, AnsibleError):
            return {}
        # What is staged on an old system is a migration.
        return {**found, "restore_staged": False} if isinstance(state, OldSystem) else {**found, "unfinished": ""}

    def _fetch(self, link: Link, state: State, run_id: str) -> dict[str, Any] | None:
        """Return what the host keeps of the run; nothing where it cannot be read."""
        try:
            if isinstance(state, (StageTwo, Recovery)):
                kept = keeping.fetch(lambda text: link.run(text)[1], keeping.paths_in_memory())
            elif isinstance(state, (OldSystem, NewSystem)) and (run_id or getattr(state, "run_id", "")):
                paths = keeping.paths_on_disk(run_id or str(getattr(state, "run_id", "")))
                kept = keeping.fetch(self._as_root, paths)
            else:
                return None
        except (LinkDown, AnsibleError):
            return None
        plan = kept["plan"]
        wanted = run_id or str(getattr(state, "run_id", ""))
        digest = str(getattr(state, "plan_digest", "")) or (plan or {}).get("digest")
        if plan and (plan["run_id"] != wanted or plan["digest"] != digest):
            kept["plan"] = None
        return kept

    def _as_root(self, text: str) -> str:
        # With data the connection plugin opens no terminal, which would change the lines.
        return str(self._low_level_execute_command(text, sudoable=True, in_data=b"\n")["stdout"])

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
