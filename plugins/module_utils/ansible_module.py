# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one place where a fault of the engine becomes ``fail_json`` of a module.

Engine-external: the only file of ``module_utils`` that knows of Ansible's modules, and even it
takes the module as an argument and imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

from .address import secrets_of
from .faults.fault import Fault


class Module(Protocol):
    """What is used of ``ansible.module_utils.basic.AnsibleModule``."""

    params: dict[str, Any]
    check_mode: bool
    no_log_values: set[str]

    def exit_json(self, **result: Any) -> NoReturn: ...

    def fail_json(self, msg: str, **result: Any) -> NoReturn: ...


def fail_with(module: Module, fault: Fault, **result: Any) -> NoReturn:
    """End the module with the fault: one message for people, the record under ``fault``."""
    record = fault.record()
    message = " ".join(_sentence(record[name]) for name in ("what", "why", "how"))
    module.fail_json(msg=message, fault=record, **result)


def hide_login(module: Module, address: str) -> None:
    """Strike the login of an address out of all that the module returns; ``-vvv`` shows its arguments with it.

    The argument itself is not ``no_log``: most often it is a folder, and would then be struck out of the paths of
    the result.
    """
    module.no_log_values.update(secrets_of(address))


def run_module(module: Module, work: Callable[[], Mapping[str, Any]]) -> NoReturn:
    """Run ``work`` and end the module: with its result, or with the fault that it raised."""
    try:
        result = work()
    except Fault as fault:
        fail_with(module, fault)
    module.exit_json(**result)


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."
