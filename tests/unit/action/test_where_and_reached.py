# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host is and what it keeps of its run; a host that is gone fails and is never unreachable."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.dualroot.migrate.plugins.action import host_probe, lock, where
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import Answer, KeyChanged, Silence
from ansible_collections.dualroot.migrate.plugins.plugin_utils import keeping
from ansible_collections.dualroot.migrate.plugins.plugin_utils.link import LinkDown

from tests.unit.stage_two.stage import plan

PLAN = plan()
RUN = PLAN["run_id"]
JOURNAL = json.dumps({"time": 1.0, "phase": "attach", "step": "s", "event": "done"})
FILES = {
    "plan.json": json.dumps(PLAN),
    "journal.jsonl": JOURNAL + "\n" + JOURNAL[:9],
    "stage-two.log": "line\nDUALROOT-FILE is only a word here\n",
    "result.json": '{"outcome": "returned"}',
    "capture-redacted.json": '{"version": 1}',
}


class Host:
    """A link, and a root shell, to a host that has these files."""

    def __init__(self, observation: Any, files: dict[str, str] | None = None) -> None:
        self.observation, self.files = observation, FILES if files is None else files
        self.asked: list[str] = []

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_unused: object) -> None:
        return None

    def observe(self) -> Any:
        return self.observation

    def run(self, text: str) -> tuple[int, str, str]:
        if isinstance(self.observation, Silence):
            raise LinkDown(self.observation)
        self.asked.append(text)
        found = [f"DUALROOT-FILE {name}\n{content}\n" for name, content in self.files.items()]
        return 0, "".join([*found, "DUALROOT-FILE end\n"]), ""


@pytest.fixture(name="look")
def _look(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(host: Host, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(where, "Link", lambda connection, bound: host)
        task = MagicMock(
            args={"timeout": 0, **arguments}, check_mode=False, async_val=0, action="dualroot.migrate.where"
        )
        action = where.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
        action._low_level_execute_command = lambda text, **_unused: {"rc": 0, "stdout": host.run(text)[1]}
        return dict(action.run(task_vars={"inventory_hostname": "gate/1"}))

    return run


def stage_two(**status: Any) -> Answer:
    body = {"run_id": RUN, "state": "awaiting", "plan_digest": PLAN["digest"], **status}
    return Answer(boot_id="two", uptime=1.0, arguments={"mode": "convert", "run": RUN}, status=body)


NEW = Answer(boot_id="new", uptime=1.0, arguments={"slot": "a", "run": RUN})
OLD = Answer(boot_id="old", uptime=1.0)


def test_nothing_is_fetched_unasked(look: Any) -> None:
    host = Host(NEW)
    assert look(host)["kept"] is None
    assert host.asked == []


@pytest.mark.parametrize(
    ("answer", "run_id", "path"),
    [
        (stage_two(), "", "/etc/dualroot/plan.json"),
        (NEW, RUN, f"/var/lib/dualroot/runs/{RUN}/plan.json"),
        (OLD, RUN, f"/var/lib/dualroot/runs/{RUN}/plan.json"),
    ],
    ids=["stage two", "new system", "old system"],
)
def test_the_run_is_told_by_whichever_system_runs(
    look: Any, tmp_path: Path, answer: Any, run_id: str, path: str
) -> None:
    host = Host(answer)
    kept = look(host, fetch=True, run_id=run_id, directory=str(tmp_path))["kept"]
    assert path in host.asked[0]
    assert kept["plan"] == PLAN
    assert (kept["result"]["outcome"], kept["capture"], "log" in kept) == ("returned", {"version": 1}, False)
    (folder,) = (tmp_path / RUN).iterdir()
    assert folder.name.startswith("_gate_1-"), "a name with a slash has one safe folder"
    assert (folder / "stage-two.log").read_text() == "line\nDUALROOT-FILE is only a word here\n"
    assert json.loads((folder / "journal.json").read_text()) == [json.loads(JOURNAL)]
    assert document.load(json.loads((folder / "plan.json").read_text())) == PLAN


def test_the_capture_of_stage_two_stays_there(look: Any) -> None:
    host = Host(stage_two())
    look(host, fetch=True)
    assert "capture" not in host.asked[0]


@pytest.mark.parametrize(
    "files",
    [
        {"plan.json": json.dumps({**PLAN, "attended": False})},
        {"plan.json": json.dumps(PLAN)[:-9]},
        {"plan.json": "[" * 9999},
        {"plan.json": json.dumps(plan(run_id="20260101T000000Z-000000"))},
        {"plan.json": json.dumps(plan(go_timeout=61))},
        {},
    ],
    ids=["changed", "cut", "nested", "of another run", "not what stage two works on", "not there"],
)
def test_a_plan_that_is_not_surely_the_right_one_is_none(look: Any, files: dict[str, str]) -> None:
    assert look(Host(stage_two(), files), fetch=True)["kept"]["plan"] is None


def test_a_new_system_s_evidence_is_kept_on_demand_only(look: Any, tmp_path: Path) -> None:
    assert look(Host(NEW), fetch=True, directory=str(tmp_path))["kept"]["plan"] == PLAN
    assert list(tmp_path.iterdir()) == []


RUNS = "/var/lib/dualroot/runs"
DONE_LATER, DONE_BEFORE = f"{RUNS}/20260102T000000Z-000001/unfinished", f"{RUNS}/20260101T000000Z-ffffff/unfinished"
STAGED = "/boot/dispatch/restore"


@pytest.mark.parametrize(
    ("answer", "paths", "unfinished", "staged"),
    [
        (OLD, [DONE_LATER, DONE_BEFORE], "20260102T000000Z-000001", False),
        (OLD, [], "", False),
        (OLD, ["/var/lib/dualroot/stage"], "", False),
        (NEW, [STAGED], "", True),
        (NEW, [DONE_LATER], "", False),
    ],
    ids=["the newest of two", "none", "a staged migration", "staged on a slot", "a slot"],
)
def test_what_is_left_of_a_restore_is_told(
    look: Any, answer: Any, paths: list[str], unfinished: str, staged: bool
) -> None:
    host = Host(answer, dict.fromkeys(paths, ""))
    found = look(host, left_of_restore=True)
    assert (found["unfinished"], found["restore_staged"]) == (unfinished, staged)


def test_it_is_asked_for_on_demand_and_in_a_system_on_disk_only(look: Any) -> None:
    for host, options in ((Host(OLD), {"fetch": True}), (Host(stage_two()), {"left_of_restore": True})):
        assert "unfinished" not in look(host, **options)
        assert not [text for text in host.asked if "unfinished" in text]


def test_a_recovery_system_is_heard(look: Any, tmp_path: Path) -> None:
    recovery = Answer(boot_id="r", uptime=1.0, arguments={"mode": "recovery", "run": RUN})
    assert look(Host(recovery), fetch=True, directory=str(tmp_path))["system"] == "recovery"
    assert (tmp_path / RUN / "_gate_1-").parent.is_dir()


def test_an_old_system_without_a_run_is_not_asked(look: Any) -> None:
    host = Host(OLD)
    assert look(host, fetch=True)["kept"] is None
    assert host.asked == []


def test_a_host_that_goes_while_it_is_asked(look: Any) -> None:
    host = Host(stage_two())
    host.run = MagicMock(side_effect=LinkDown(Silence("gone")))  # type: ignore[method-assign]
    assert look(host, fetch=True)["kept"] is None


def test_a_dark_host_fails(look: Any) -> None:
    result = look(Host(Silence("Connection refused")), fetch=True)
    assert (result["failed"], result["fault"]["id"]) == (True, "convert.no_answer")
    assert look(Host(KeyChanged("changed")))["fault"]["id"] == "convert.host_key_changed"


def test_more_is_never_replaced_by_less(tmp_path: Path) -> None:
    kept = {"plan": None, "capture": None, "journal": [{"a": 1}, {"b": 2}], "log": "long"}
    keeping.keep(tmp_path, kept)
    keeping.keep(tmp_path, {**kept, "journal": [{"a": 1}], "log": ""})
    assert json.loads((tmp_path / "journal.json").read_text()) == kept["journal"]
    assert (tmp_path / "stage-two.log").read_text() == "long\n"


def gone(message: str) -> Any:
    return MagicMock(side_effect=AnsibleConnectionFailure(message))


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("Failed to connect to the host via ssh: Connection timed out", "migrate.unreachable"),
        ("Data could not be sent to remote host", "migrate.unreachable"),
        ("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "convert.host_key_changed"),
    ],
)
def test_a_module_s_host_that_is_gone_fails(message: str, fault: str) -> None:
    task = MagicMock(args={}, check_mode=False, async_val=0, action="dualroot.migrate.host_probe")
    action = host_probe.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
    action._execute_module = gone(message)
    result = action.run(task_vars={})
    assert (result["failed"], result["fault"]["id"]) == (True, fault)
    assert "unreachable" not in result


def test_a_module_s_result_is_passed_on() -> None:
    task = MagicMock(args={}, check_mode=False, async_val=0, action="dualroot.migrate.host_probe")
    action = host_probe.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
    action._execute_module = MagicMock(return_value={"changed": False, "facts": {"a": 1}})
    action._remove_tmp_path = MagicMock()
    assert action.run(task_vars={})["facts"] == {"a": 1}


def test_a_lock_of_a_host_that_is_gone() -> None:
    task = MagicMock(args={"run_id": "r"}, check_mode=False, async_val=0, action="dualroot.migrate.lock")
    action = lock.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
    action._low_level_execute_command = gone("Connection timed out")
    assert action.run(task_vars={})["fault"]["id"] == "migrate.unreachable"


def test_a_lock_in_check_mode_only_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    task = MagicMock(args={"run_id": "r"}, check_mode=True, async_val=0, action="dualroot.migrate.lock")
    action = lock.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
    asked: list[str] = []

    def shell(text: str, **_unused: Any) -> dict[str, Any]:
        asked.append(text)
        return {"rc": 0, "stdout": "DUALROOT-HELD 5\n", "stderr": ""}

    action._low_level_execute_command = shell
    assert action.run(task_vars={}) == {"changed": False, "taken": False, "replaced": None, "why": ""}
    assert all(word not in asked[0] for word in ("mkdir", "ln ", "mv ", "rm "))


def test_a_taken_lock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(lock, "display", SimpleNamespace(display=shown.append))
    task = MagicMock(args={"run_id": "r", "break_lock": True}, check_mode=False, async_val=0, action="x")
    action = lock.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
    held = '{"owner":"joe@office","controller":"c","process":1,"started":"2","run_id":"q","created":1,"expires":99}'
    answers = iter([f"DUALROOT-HELD 5\n{held}\n", "DUALROOT-TAKEN 6\n"])
    action._low_level_execute_command = lambda text, **_unused: {"rc": 0, "stdout": next(answers), "stderr": ""}
    result = action.run(task_vars={"inventory_hostname": "gate"})
    assert (result["taken"], result["changed"], result["why"]) == (True, False, "broken")
    assert shown == ["gate: took over the lock of joe@office, run q (broken)"]
