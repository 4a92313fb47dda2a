# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep the evidence of a run on the controller; see modules/report.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.report import files
from ..module_utils.report.page import page
from ..module_utils.report.result import complete
from ..module_utils.report.table import show_table

display = Display()
#: A fault may quote a task's result; of an unreachable host only its message is known.
#: The plan is a file of its own.
_JUDGED = ("verdict", "findings", "picture", "predicted")
_RECORD = ("id", "phase", "what", "why", "how")


class ActionModule(ActionBase):
    """Never connects to the host, so it also works when the host is gone."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        mappings = ("preflight", "plan", "capture", "result", "fault")
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "directory": {"type": "path", "required": True},
                "run_id": {"type": "str", "required": True},
                "host": {"type": "str"},
                **{name: {"type": "dict"} for name in mappings},
                "journal": {"type": "list", "elements": "dict"},
                "console": {"type": "path"},
                "log": {"type": "str"},
                "hosts": {"type": "dict", "default": {}},
                "index": {"type": "bool", "default": False},
            }
        )
        # Plain JSON types only: what Ansible hands over may be templated lazily and carry its own tags.
        given = json.loads(json.dumps(arguments))
        directory = Path(given["directory"]).absolute()
        host = given["host"] or str((task_vars or {}).get("inventory_hostname", ""))
        folder = files.host_folder(directory, given["run_id"], host)
        changed: list[str] = []
        try:
            given["plan"] = given["plan"] or files.read_document(folder, "plan")
            documents = _documents(host, given)
            if not self._task.check_mode:
                changed = files.write_host(folder, documents) + _keep_texts(folder, given)
            returned = {"changed": bool(changed), "folder": str(folder), "result": documents["result"]}
            return {**returned, **(self._index(directory, given) if given["index"] else {})}
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(f"the report under {directory} cannot be written: {error}") from error

    def _index(self, directory: Path, given: Mapping[str, Any]) -> dict[str, Any]:
        run_id = given["run_id"]
        hosts = files.read_run(directory, run_id)
        for host, judged in given["hosts"].items():
            # What no file can tell, because check mode has written none.
            if host not in hosts and judged:
                hosts[host] = {"preflight": _judged(judged), "fault": judged.get("refused")}
        path = directory / run_id / files.INDEX
        if not self._task.check_mode:
            files.write_text(path, page(run_id, hosts))
        lines = show_table(hosts)
        for line in lines if self._task.check_mode else [*lines, f"report: {path}"]:
            display.display(line)
        return {"index": str(path), "table": lines}


def _keep_texts(folder: Path, given: Mapping[str, Any]) -> list[str]:
    texts = {files.LOG: given["log"]}
    if given["console"]:
        texts[files.CONSOLE] = Path(given["console"]).read_text(encoding="utf-8", errors="replace")
    return [name for name, text in texts.items() if text and files.write_text(folder / name, text)]


def _judged(judged: Mapping[str, Any]) -> dict[str, Any]:
    return {name: judged.get(name) for name in _JUDGED}


def _documents(host: str, given: Mapping[str, Any]) -> dict[str, Any]:
    fault = {name: str(given["fault"].get(name) or "") for name in _RECORD} if given["fault"] else None
    result = complete(host, plan=given["plan"], result=given["result"], fault=fault)
    judged = given["preflight"]
    return {
        "preflight": _judged(judged) if judged else None,
        "plan": given["plan"],
        "capture-redacted": given["capture"],
        "journal": given["journal"],
        "result": result,
        "fault": (result or {}).get("fault"),
    }
