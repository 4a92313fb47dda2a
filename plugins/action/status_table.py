# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Show what is known of hosts; see modules/status_table.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.report import files
from ..module_utils.report.status import show_table

display = Display()


class ActionModule(ActionBase):
    """Never connects to a host."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "hosts": {"type": "dict", "required": True},
                "format": {"type": "str", "choices": ["table", "json"], "default": "table"},
                "file": {"type": "path"},
            }
        )
        # Plain JSON types only: what Ansible hands over may be templated lazily and carry its own tags.
        hosts = json.loads(json.dumps(arguments["hosts"]))
        document = json.dumps({"hosts": hosts}, indent=2, sort_keys=True)
        table = show_table(hosts)
        for line in document.splitlines() if arguments["format"] == "json" else table:
            display.display(line)
        changed = False
        if arguments["file"] and not self._task.check_mode:
            try:
                changed = files.write_text(Path(arguments["file"]).absolute(), document + "\n")
            except OSError as error:
                raise AnsibleActionFail(f"{arguments['file']} cannot be written: {error}") from error
        return {"changed": changed, "table": table, "hosts": hosts}
