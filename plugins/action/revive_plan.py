# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge a host for a restore and freeze its plan, on the controller alone; see modules/revive_plan.py."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.faults.fault import Fault
from ..module_utils.revive import saved
from ..module_utils.revive.judge import Present, judge
from ..module_utils.revive.options import load
from ..module_utils.runner import CommandRunner
from ..plugin_utils.results import failed

display = Display()


class ActionModule(ActionBase):
    """Never connects to the host, so check mode is the same as without."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "reports": {"type": "path", "required": True},
                "of_run": {"type": "str", "default": ""},
                "facts": {"type": "dict", "required": True},
                "capture": {"type": "dict", "required": True},
                "running": {"type": "dict", "required": True},
                "current": {"type": "dict", "required": True},
                "manifest": {"type": "dict", "required": True},
                "options": {"type": "dict", "required": True},
            }
        )
        # Plain JSON types only: what Ansible hands over may be templated lazily and carry its own tags.
        given = json.loads(json.dumps(arguments))
        host = str((task_vars or {}).get("inventory_hostname", ""))
        running = given["running"]
        try:
            options = load({"host": host, "now": int(time.time()), **given["options"]})
            folder = saved.find(Path(given["reports"]).absolute(), host, given["of_run"].strip())
            present = Present(
                facts=given["facts"],
                capture=given["capture"],
                plan=given["current"],
                slot=str(running.get("slot") or ""),
                slot_state=str(running.get("slot_state") or ""),
                run_id=str(running.get("run_id") or ""),
            )
            found = saved.load(folder)
            counted = 0
            if options.lifeboat != "none":
                counted = saved.unpacked_bytes(CommandRunner(), found.archive, found.compression)
            judged = judge(present, found, given["manifest"], options, counted)
        except Fault as fault:
            return failed(fault)
        for line in judged["lines"]:
            display.display(f"{host}: {line}")
        return {"changed": False, **judged, "archive": _file(found.archive, found.sha256), "evidence": _evidence(found)}


def _file(path: Path, sha256: str) -> dict[str, Any]:
    return {"path": str(path), "sha256": sha256, "size": path.stat().st_size}


def _evidence(found: saved.Saved) -> dict[str, Any]:
    return _file(found.evidence, found.evidence_sha256)
