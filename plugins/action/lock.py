# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take and release the lock of a host; see modules/lock.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils import lock
from ..module_utils.faults.fault import Fault
from ..plugin_utils import locking
from ..plugin_utils.reached import reached
from ..plugin_utils.results import failed

display = Display()


class ActionModule(ActionBase):
    """Works without Python on the host; needs become where the login is not root."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    @reached
    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "state": {"type": "str", "choices": ["taken", "released"], "default": "taken"},
                "run_id": {"type": "str", "required": True},
                "lifetime": {"type": "int", "default": lock.LIFETIME},
                "break_lock": {"type": "bool", "default": False},
            }
        )
        host = str((task_vars or {}).get("inventory_hostname", ""))
        wanted = locking.this_process(arguments["run_id"])
        try:
            if arguments["state"] == "released":
                released = False if self._task.check_mode else locking.release(self._shell, wanted.run_id)
                return {"changed": released, "taken": False}
            if self._task.check_mode:
                locking.look(self._shell, wanted, arguments["break_lock"])
                return {"changed": False, "taken": False, "replaced": None, "why": ""}
            replaced, why = locking.take(self._shell, wanted, arguments["lifetime"], arguments["break_lock"])
        except Fault as fault:
            return failed(fault, taken=False)
        if replaced is not None and why != "renewed":
            display.display(
                f"{host}: took over the lock of {replaced.holder.owner}, run {replaced.holder.run_id} ({why})"
            )
        # A lock comes and goes with the run; it is no change of the host.
        return {"changed": False, "taken": True, "replaced": lock.to_document(replaced), "why": why}

    def _shell(self, text: str) -> Mapping[str, Any]:
        return self._low_level_execute_command(text, sudoable=True, in_data=b"\n")
