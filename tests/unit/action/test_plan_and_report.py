# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The actions that work on the controller alone: what they take from Ansible, and what they hand back."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.dualroot.migrate.plugins.action import plan, report
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.report import files

from tests.unit.plan import documents as docs

HOST = {"inventory_hostname": "gate1"}


@pytest.fixture(name="run")
def _run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run an action with arguments; what it displays is under ``run.shown``."""
    shown: list[str] = []

    def run(subject: Any, check_mode: bool = False, strategy: str = "linear", **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(subject.display, "display", shown.append)
        block = SimpleNamespace(_play=SimpleNamespace(strategy=strategy))
        task = MagicMock(args=arguments, check_mode=check_mode, async_val=0, _parent=block, spec=["args"])
        task.action = "dualroot.migrate.x"
        task.check_mode, task.async_val, task._parent, task.diff = check_mode, 0, block, False
        action = subject.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), None)
        return action.run(task_vars=HOST)

    run.shown = shown  # type: ignore[attr-defined]
    return run


def _arguments(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    (tmp_path / "modaliases.json").write_text(json.dumps(docs.MODALIASES))
    options = docs.options()
    del options["host"], options["now"]
    return {
        "facts": docs.facts(),
        "manifest": docs.manifest(),
        "layout": docs.layout(),
        "capture": docs.capture(),
        "modaliases": str(tmp_path / "modaliases.json"),
        "options": options,
        **changes,
    }


def test_a_plan_is_frozen_and_shown(run: Any, tmp_path: Path) -> None:
    result = run(plan, **_arguments(tmp_path))
    assert (result["verdict"], result["refused"], result["strategy"]) == ("proceed", None, "linear")
    assert document.load(result["plan"])["host"] == "gate1"
    assert result["plan"]["expires"] > result["plan"]["created"] > 1_700_000_000
    assert run.shown == [f"gate1: {line}" for line in result["lines"]]
    assert run.shown[-1] == "gate1: verdict: proceed"


def test_a_refusal_is_no_failure_of_the_action(run: Any, tmp_path: Path) -> None:
    result = run(plan, **_arguments(tmp_path, facts={**docs.facts(), "is_root": False}))
    assert not result.get("failed")
    assert result["plan"] is None
    assert result["refused"]["id"] == "preflight.refused"


def test_the_strategy_of_the_play_is_told(run: Any, tmp_path: Path) -> None:
    assert run(plan, strategy="free", **_arguments(tmp_path))["strategy"] == "free"


def test_options_that_are_none_end_with_their_fault(run: Any, tmp_path: Path) -> None:
    result = run(plan, **_arguments(tmp_path, options={"run_id": "r", "wish": 1}))
    assert result["failed"]
    assert result["fault"]["id"] == "plan.options_invalid"


def test_a_list_of_drivers_that_cannot_be_read(run: Any, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="cannot be read"):
        run(plan, **_arguments(tmp_path, modaliases=str(tmp_path / "nothing")))


def test_evidence_adds_up(run: Any, tmp_path: Path) -> None:
    judged = run(plan, **_arguments(tmp_path))
    common = {"directory": str(tmp_path / "report"), "run_id": "r1"}
    first = run(report, **common, preflight=judged, plan=judged["plan"])
    assert first["changed"] and first["result"] is None
    folder = Path(first["folder"])
    assert sorted(path.name for path in folder.iterdir()) == ["plan.json", "preflight.json"]
    assert "plan" not in json.loads((folder / "preflight.json").read_text())
    (tmp_path / "console").write_text("dualroot: attach\n")
    second = run(
        report,
        **common,
        result={"outcome": "converted"},
        journal=[{"phase": "attach"}],
        console=str(tmp_path / "console"),
        index=True,
    )
    assert second["result"]["payload_bytes"] == 180 << 20, "the plan is read from the folder"
    assert (folder / "console.log").read_text() == "dualroot: attach\n"
    assert Path(second["index"]).is_file()
    assert run.shown[-1] == f"report: {second['index']}"
    assert second["table"][2].startswith("gate1  converted")
    assert not run(report, **common, result={"outcome": "converted"})["changed"]


def test_check_mode_writes_nothing(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "report"
    result = run(report, check_mode=True, directory=str(folder), run_id="r1", fault={"id": "x"}, index=True)
    assert result["result"]["outcome"] == "failed"
    assert not folder.exists()


def test_a_folder_that_cannot_be_made(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AnsibleActionFail, match="cannot be written"):
        run(report, directory=str(tmp_path / "file"), run_id="r1", fault={"id": "x"})


def test_the_newest_rehearsal_calibrates_by_itself(run: Any, tmp_path: Path) -> None:
    common = {"bundle": {"manifest_sha256": "f" * 64}, "mode": "rehearse", "outcome": "returned", "payload_bytes": 9}
    of_host = {**common, "run_id": "2", "phases": [{"name": "attach", "seconds": 7.0}]}
    kept = {**common, "run_id": "3", "host": "gate1", "phases": [{"name": "attach", "seconds": 9.0}]}
    folder = files.host_folder(tmp_path / "reports", "3", "gate1")
    facts = {**docs.facts(), "rehearsals": [of_host]}
    assert run(plan, **_arguments(tmp_path, facts=facts))["predicted"]["phases"]["attach"] == 7
    files.write_host(folder, {"result": kept})
    arguments = _arguments(tmp_path, facts=facts, reports=str(tmp_path / "reports"))
    assert run(plan, **arguments)["predicted"]["phases"]["attach"] == 9
    arguments["options"]["manifest_sha256"] = "0" * 64
    assert run(plan, **arguments)["predicted"]["calibrated"] == []


def test_check_mode_shows_its_table(run: Any, tmp_path: Path) -> None:
    judged = run(plan, **_arguments(tmp_path))
    run.shown.clear()
    result = run(report, True, directory=str(tmp_path / "r"), run_id="r1", index=True, hosts={"gate1": judged})
    assert result["table"][2].startswith("gate1  planned")
    assert run.shown == result["table"], "no page is named that was not written"
    assert not (tmp_path / "r").exists()


def test_the_log_of_stage_two_is_kept(run: Any, tmp_path: Path) -> None:
    folder = Path(run(report, directory=str(tmp_path), run_id="r1", log="attach\n")["folder"])
    assert (folder / "stage-two.log").read_text() == "attach\n"
