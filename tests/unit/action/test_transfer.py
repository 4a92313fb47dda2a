# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packed files are not packed again on their way."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ansible")

from ansible_collections.dualroot.migrate.plugins.action.transfer import ActionModule  # noqa: E402


class Connection:
    def __init__(self, transport: str, ssh_args: str) -> None:
        self.transport = transport
        self.options = {"ssh_args": ssh_args}
        self.resets = 0

    def get_option(self, name: str) -> str:
        return self.options[name]

    def set_option(self, name: str, value: str) -> None:
        self.options[name] = value

    def reset(self) -> None:
        self.resets += 1


def action_on(connection: Connection) -> Any:
    action: Any = ActionModule.__new__(ActionModule)
    action._connection = connection
    return action


def test_compression_is_taken_out_and_the_connection_opened_anew() -> None:
    connection = Connection("ssh", "-C -o ControlMaster=auto -o 'ProxyCommand=ssh -C jump'")
    action_on(connection)._stop_compressing()
    assert connection.options["ssh_args"] == "-o ControlMaster=auto -o 'ProxyCommand=ssh -C jump'"
    assert connection.resets == 1


@pytest.mark.parametrize(("transport", "ssh_args"), [("ssh", "-o ControlMaster=auto"), ("local", "-C")])
def test_nothing_to_take_out(transport: str, ssh_args: str) -> None:
    connection = Connection(transport, ssh_args)
    action_on(connection)._stop_compressing()
    assert (connection.options["ssh_args"], connection.resets) == (ssh_args, 0)
