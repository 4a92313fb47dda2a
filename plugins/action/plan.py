# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge a host and freeze its plan, on the controller alone; see modules/plan.py."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.faults.fault import Fault
from ..module_utils.plan import text
from ..module_utils.plan.finding import Finding, summary
from ..module_utils.plan.judge import judge
from ..module_utils.plan.rehearsals import newest
from ..module_utils.report.rehearsals import results
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
                "facts": {"type": "dict", "required": True},
                "manifest": {"type": "dict", "required": True},
                "layout": {"type": "dict", "required": True},
                "options": {"type": "dict", "required": True},
                "capture": {"type": "dict"},
                "findings": {"type": "list", "elements": "dict", "default": []},
                "modaliases": {"type": "path"},
                "bad_addresses": {"type": "list", "elements": "dict", "default": []},
                "reports": {"type": "path"},
            }
        )
        # Plain JSON types only: what Ansible hands over may be templated lazily and carry its own tags.
        given = json.loads(json.dumps(arguments))
        options = {"host": str((task_vars or {}).get("inventory_hostname", "")), **given["options"]}
        options.setdefault("now", int(time.time()))
        options["rehearsal"] = options.get("rehearsal") or _rehearsal(given, options)
        try:
            result = judge(
                given["facts"],
                given["manifest"],
                given["layout"],
                options,
                capture=given["capture"],
                capture_problems=given["findings"],
                modaliases=_read_modaliases(given["modaliases"]),
                bad_addresses=given["bad_addresses"],
            )
            refused = summary([Finding(**finding) for finding in result["findings"]])
        except Fault as fault:
            return failed(fault)
        lines = _lines(result)
        for line in lines:
            display.display(f"{options['host']}: {line}")
        return {
            "changed": False,
            **result,
            "refused": refused.record() if refused else None,
            "strategy": _strategy(self._task),
            "lines": lines,
        }


def _strategy(task: Any) -> str:
    """Return the strategy of the play; no variable tells it, and others than linear stop no rollout."""
    block = task
    while block is not None and not hasattr(block, "_play"):
        block = getattr(block, "_parent", None)
    return str(getattr(getattr(block, "_play", None), "strategy", None) or "linear")


def _rehearsal(given: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the newest rehearsal of this host with this bundle measured, from here or from the host."""
    kept = results(Path(given["reports"]).absolute(), options["host"]) if given["reports"] else ()
    of_host = given["facts"].get("rehearsals")
    return newest([*(of_host if isinstance(of_host, list) else ()), *kept], str(options.get("manifest_sha256") or ""))


def _read_modaliases(path: str | None) -> list[str]:
    if not path:
        return []
    try:
        patterns = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnsibleActionFail(f"the list of drivers {path} cannot be read: {error}") from error
    return [str(pattern) for pattern in patterns]


def _lines(result: Mapping[str, Any]) -> list[str]:
    return [
        *str(result["picture"]["text"]).splitlines(),
        *text.show_prediction(result["predicted"]),
        *text.show_findings(result["findings"]),
        f"verdict: {result['verdict']}",
    ]
