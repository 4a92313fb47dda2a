# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fetch big files of root's from a host by digest; see modules/receive.py."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.faults.fault import Fault
from ..plugin_utils.reached import reached
from ..plugin_utils.receiving import Receiving, is_there, receive
from ..plugin_utils.results import failed

FILES = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "src": {"type": "path", "required": True},
        "dest": {"type": "path", "required": True},
        "sha256": {"type": "str", "required": True},
        "size": {"type": "int", "required": True},
    },
}


class ActionModule(ActionBase):
    """Works without Python on the host; needs become where the login is not root."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    @reached
    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={"files": FILES, "remove": {"type": "bool", "default": False}}
        )
        wanted = [
            Receiving(one["src"], Path(one["dest"]).absolute(), one["sha256"].lower(), one["size"])
            for one in arguments["files"]
        ]
        missing = [one for one in wanted if not is_there(one)]
        received = [str(one.target) for one in missing]
        if self._task.check_mode:
            return {"changed": bool(missing), "received": received}
        # At -vvv the connection plugin prints what a command said, and that is the content of root's files.
        self._connection._play_context.no_log = True
        try:
            for one in missing:
                receive(self._shell, one)
        except Fault as fault:
            return failed(fault)
        if arguments["remove"]:
            self._shell("rm -f " + " ".join(shlex.quote(one.source) for one in wanted))
        return {"changed": bool(missing), "received": received}

    def _shell(self, text: str) -> Mapping[str, Any]:
        # With data the connection plugin opens no terminal, which would be the bottleneck.
        return self._low_level_execute_command(text, sudoable=True, in_data=b"\n")
