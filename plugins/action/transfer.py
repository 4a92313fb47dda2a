# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send big files to a host by digest; see modules/transfer.py."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.faults.fault import Fault
from ..plugin_utils.reached import reached
from ..plugin_utils.results import failed
from ..plugin_utils.sending import Sending, check_room, send, survey

display = Display()

FILES = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "src": {"type": "path", "required": True},
        "dest": {"type": "path", "required": True},
        "sha256": {"type": "str", "required": True},
        "size": {"type": "int", "required": True},
        "mode": {"type": "str", "default": "0600"},
    },
}


class ActionModule(ActionBase):
    """Works without Python on the host; needs become where the login is not root."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False

    @reached
    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "files": FILES,
                "reserve": {"type": "int", "default": 0},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            }
        )
        host = str((task_vars or {}).get("inventory_hostname", ""))
        sendings = [
            Sending(one["src"], one["dest"], one["sha256"].lower(), one["size"], one["mode"])
            for one in arguments["files"]
        ]
        if self._task.check_mode:
            return {"changed": True, "sent": [], "msg": "check mode: nothing is sent or removed"}
        if arguments["state"] == "absent":
            return self._remove(sendings)
        try:
            missing = survey(self._shell, sendings)
            check_room(self._shell, sendings, missing, arguments["reserve"])
            if any(present is not None for present in missing.values()):
                self._stop_compressing()
            for index, present in missing.items():
                if present is not None:
                    send(self._shell, sendings[index], present, lambda text: display.display(f"{host}: {text}"))
        except Fault as fault:
            return failed(fault, changed=True)
        sent = [sendings[index].target for index, present in missing.items() if present is not None]
        return {"changed": bool(sent), "sent": sent}

    def _remove(self, sendings: list[Sending]) -> dict[str, Any]:
        """Remove files and parts, and the folder of each where it is empty then."""
        lines = ["exec 2>/dev/null"]
        for sending in sendings:
            paths = f"{shlex.quote(sending.target)} {shlex.quote(sending.part)}"
            lines.append(f'for i in {paths}; do [ ! -e "$i" ] || {{ rm -f "$i" && echo DUALROOT-REMOVED; }}; done')
            lines.append(f"rmdir {shlex.quote(os.path.dirname(sending.target))}")
        done = self._shell("\n".join(lines) + "\nexit 0", b"\n")
        return {"changed": "DUALROOT-REMOVED" in done["stdout"], "sent": []}

    def _stop_compressing(self) -> None:
        """What is sent is packed already; Ansible's default ``-C`` packs it again, which costs both sides.

        ``-C`` beats any ``-o Compression=no``, so it is taken out; a shared connection keeps what it was
        opened with, so the connection is opened anew.
        """
        if str(self._connection.transport).rpartition(".")[2] != "ssh":
            return
        words = shlex.split(self._connection.get_option("ssh_args") or "")
        if "-C" in words:
            self._connection.set_option("ssh_args", shlex.join(word for word in words if word != "-C"))
            self._connection.reset()

    def _shell(self, text: str, data: bytes | None) -> Mapping[str, Any]:
        return self._low_level_execute_command(text, sudoable=True, in_data=data)
