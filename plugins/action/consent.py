# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the operator's consent with the hosts of a run; see modules/consent.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from ..module_utils.faults.fault import Fault
from ..module_utils.plan import consent
from ..plugin_utils.results import failed


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "consent": {"type": "raw", "default": ""},
                "hosts": {"type": "list", "elements": "str", "required": True},
                "strategy": {"type": "str", "default": "linear"},
            }
        )
        hosts = arguments["hosts"]
        try:
            # Where every host is converted already there is nothing to consent to; a second run with
            # the same number must not fail.
            given = bool(hosts) and consent.check(arguments["consent"], hosts, arguments["strategy"])
        except Fault as fault:
            return failed(fault, given=False, count=len(hosts))
        return {"changed": False, "given": given, "count": len(hosts)}
