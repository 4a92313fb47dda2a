# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fetching root's files: what is asked of the host, and that nothing of it is shown."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.dualroot.migrate.plugins.action import receive as subject

CONTENT = b"root:secret" * 1000


class Host:
    """A connection with a shell that hands out one file."""

    def __init__(self, tmp_path: Path, content: bytes = CONTENT) -> None:
        self.connection = MagicMock()
        self.content = content
        self.asked: list[str] = []
        self.quiet: list[bool] = []
        self.target = tmp_path / "kept" / "root.tar.zst"

    def shell(self, text: str, sudoable: bool, in_data: bytes) -> dict[str, Any]:
        assert sudoable and in_data
        self.asked.append(text.split()[0])
        self.quiet.append(self.connection._play_context.no_log is True)
        return {"rc": 0, "stdout": base64.b64encode(self.content).decode(), "stderr": ""}

    def run(self, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        file = {
            "src": "/var/lib/dualroot/root.tar.zst",
            "dest": str(self.target),
            "sha256": hashlib.sha256(CONTENT).hexdigest(),
            "size": len(CONTENT),
        }
        task = MagicMock(args={"files": [file], **arguments}, check_mode=check_mode, async_val=0)
        action = subject.ActionModule(task, self.connection, MagicMock(), MagicMock(), MagicMock(), None)
        action._low_level_execute_command = self.shell
        return action.run(task_vars={})


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_fetched_once_and_removed(host: Host) -> None:
    first = host.run(remove=True)
    assert (first["changed"], first["received"]) == (True, [str(host.target)])
    assert host.target.read_bytes() == CONTENT
    assert host.asked == ["dd", "rm"]
    assert host.quiet == [True, True]
    second = host.run()
    assert (second["changed"], second["received"]) == (False, [])
    assert host.asked == ["dd", "rm"]


def test_check_mode_fetches_nothing(host: Host) -> None:
    assert host.run(check_mode=True)["received"] == [str(host.target)]
    assert host.asked == []


def test_a_damaged_file_is_not_removed_from_the_host(tmp_path: Path) -> None:
    host = Host(tmp_path, b"something else")
    result = host.run(remove=True)
    assert result["failed"] and result["fault"]["id"] == "snapshot.digest_mismatch"
    assert "rm" not in host.asked
    assert not host.target.exists()
