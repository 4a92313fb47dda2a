# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packed files are not packed again on their way."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

pytest.importorskip("ansible")

from ansible_collections.dualroot.migrate.plugins.action.transfer import ActionModule  # noqa: E402

FILE = {"src": "/srv/p.zst", "dest": "/var/x/p.zst", "sha256": "a" * 64, "size": 5}


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


def test_files_and_their_parts_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    task = MagicMock(args={"state": "absent", "files": [dict(FILE)]}, check_mode=False, async_val=0)
    task.action = "dualroot.migrate.transfer"
    action = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    shell = MagicMock(return_value={"rc": 0, "stdout": "DUALROOT-REMOVED\n", "stderr": ""})
    monkeypatch.setattr(action, "_low_level_execute_command", shell)
    result = action.run(task_vars={"inventory_hostname": "gate"})
    assert (result["changed"], result["sent"]) == (True, [])
    text = shell.call_args.args[0]
    assert f"for i in /var/x/p.zst /var/x/p.zst.{'a' * 16}.part; do" in text
    assert "rmdir /var/x" in text
