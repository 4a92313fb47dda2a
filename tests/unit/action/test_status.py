# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking hosts for their slots, whatever they run, and showing the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleError
from ansible_collections.dualroot.migrate.plugins.action import slot_status, status_table
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_command import TEXT
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import Answer, KeyChanged, Silence

from tests.unit.report.test_status import PRINTED

NEW = Answer(boot_id="new", uptime=1.0, arguments={"slot": "a", "run": "run-a"})


class Host:
    """A link to a host; ``root`` and ``login`` are what each of the two ways to ask gives."""

    def __init__(self, observation: Any, root: Any = "", login: Any = "") -> None:
        self.observation, self.root, self.login = observation, root, login
        self.asked: list[str] = []

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_unused: object) -> None:
        return None

    def observe(self) -> Any:
        return self.observation

    def run(self, text: str) -> tuple[int, str, str]:
        assert text == f"set -- status --json\n{TEXT}"
        self.asked.append("login")
        return (0, self.login, "") if self.login else (1, "", "no dispatch file system")

    def execute(self, text: str, *, sudoable: bool, in_data: bytes) -> dict[str, Any]:
        assert (text, sudoable, in_data) == ("/bin/sh -s -- status --json", True, TEXT.encode())
        self.asked.append("root")
        if isinstance(self.root, Exception):
            raise self.root
        return {"rc": 0 if self.root else 1, "stdout": self.root, "stderr": "sudo: a password is required\n"}


@pytest.fixture(name="ask")
def _ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(host: Host) -> dict[str, Any]:
        monkeypatch.setattr(slot_status, "Link", lambda connection, bound: host)
        task = MagicMock(args={"timeout": 0}, check_mode=False, async_val=0, action="dualroot.migrate.slot_status")
        action = slot_status.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
        action._low_level_execute_command = host.execute
        result = action.run(task_vars={})
        assert not result.get("failed") and not result["changed"]
        return dict(result["status"])

    return run


def test_a_converted_host_is_asked_as_root(ask: Any) -> None:
    host = Host(NEW, root=json.dumps(PRINTED))
    assert ask(host) == {"system": "new_system", "problem": "", **PRINTED}
    assert host.asked == ["root"]


@pytest.mark.parametrize("root", ["", AnsibleError("Missing sudo password"), "Welcome\n{}"])
def test_without_root_the_login_is_asked(ask: Any, root: Any) -> None:
    host = Host(NEW, root=root, login=json.dumps(PRINTED))
    assert ask(host)["slots"] == PRINTED["slots"]
    assert host.asked == ["root", "login"]


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        ("", "the slots could not be asked: sudo: a password is required"),
        (AnsibleError("Missing sudo password"), "the slots could not be asked: Missing sudo password"),
        ("{}", "the answer of the host cannot be read: .running: is missing"),
    ],
)
def test_a_host_that_cannot_tell_is_said_to(ask: Any, root: Any, problem: str) -> None:
    found = ask(Host(NEW, root=root))
    assert found["system"] == "new_system" and found["problem"].startswith(problem)


def test_the_recovery_system_is_asked_as_it_lets_in(ask: Any) -> None:
    answer = Answer(boot_id="r", uptime=1.0, arguments={"mode": "recovery", "run": "run-a"})
    host = Host(answer, login=json.dumps(PRINTED))
    assert (ask(host)["system"], host.asked) == ("recovery", ["login"])


def test_an_old_system_has_nothing_to_ask(ask: Any) -> None:
    host = Host(Answer(boot_id="old", uptime=1.0))
    assert ask(host) == {"system": "old_system", "problem": ""}
    assert host.asked == []


def test_an_old_system_that_was_kept_knows_the_slots(ask: Any) -> None:
    answer = Answer(boot_id="old", uptime=1.0, arguments={"mode": "old", "run": "run-a"})
    found = ask(Host(answer, root=json.dumps(PRINTED)))
    assert (found["system"], found["slots"]) == ("old_system", PRINTED["slots"])


def test_stage_two_tells_its_phase(ask: Any) -> None:
    status = {"run_id": "run-a", "state": "running", "phase": "restore", "percent": 40}
    found = ask(Host(Answer(boot_id="two", uptime=1.0, arguments={"mode": "convert"}, status=status)))
    assert (found["system"], found["phase"], found["percent"]) == ("stage_two", "restore", 40)


@pytest.mark.parametrize(
    ("observation", "problem"),
    [
        (Silence("timed out"), "no answer: timed out"),
        (KeyChanged("changed"), "it answers with another SSH host key: changed"),
    ],
)
def test_a_silent_host_does_not_fail(ask: Any, observation: Any, problem: str) -> None:
    assert ask(Host(observation)) == {"system": "unreachable", "problem": problem}


@pytest.fixture(name="show")
def _show(monkeypatch: pytest.MonkeyPatch) -> Any:
    shown: list[str] = []
    monkeypatch.setattr(status_table.display, "display", shown.append)

    def run(check_mode: bool = False, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
        shown.clear()
        task = MagicMock(args=arguments, check_mode=check_mode, async_val=0, action="dualroot.migrate.status_table")
        action = status_table.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
        return dict(action.run(task_vars={})), shown

    return run


def test_a_table_is_shown_and_json_is_written(show: Any, tmp_path: Path) -> None:
    hosts = {"gate/1": {"system": "new_system", "problem": "", **PRINTED}}
    path = tmp_path / "status.json"
    result, shown = show(hosts=hosts, file=str(path))
    assert result["changed"] and shown == result["table"] and shown[0].startswith("host")
    assert json.loads(path.read_text()) == {"hosts": hosts}
    assert not show(hosts=hosts, file=str(path))[0]["changed"]


def test_json_is_shown_and_nothing_is_written_in_check_mode(show: Any, tmp_path: Path) -> None:
    hosts = {"one": {"system": "old_system", "problem": ""}}
    _result, shown = show(True, hosts=hosts, format="json", file=str(tmp_path / "status.json"))
    assert json.loads("\n".join(shown)) == {"hosts": hosts}
    assert list(tmp_path.iterdir()) == []
