# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fail a host with a fault of the catalogue; see modules/fault.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.faults.catalogue import all_kinds
from ..module_utils.faults.fault import Fault
from ..plugin_utils.results import failed


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: Any = None, task_vars: Mapping[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "id": {"type": "str"},
                "fields": {"type": "dict", "default": {}},
                "record": {"type": "dict"},
            },
            required_one_of=[("id", "record")],
            mutually_exclusive=[("id", "record")],
        )
        if arguments["record"]:
            return failed(arguments["record"])
        for kind in all_kinds():
            if kind.id == arguments["id"]:
                return failed(Fault(kind, **arguments["fields"]))
        raise AnsibleActionFail(f"no such fault: {arguments['id']}")
