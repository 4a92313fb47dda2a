# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The judgement of a restore on the controller: the archive is found, and counted where a lifeboat wants it."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible_collections.dualroot.migrate.plugins.action import revive_plan as subject

from tests.unit.revive.evidence import lay
from tests.unit.revive.test_judge import MANIFEST, OPTIONS, present


@pytest.fixture(name="run")
def _run(monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(subject, "display", SimpleNamespace(display=shown.append))
    host = present()
    options = {name: value for name, value in OPTIONS.items() if name not in ("host", "now")}

    def run(of_run="", **changes):
        task = MagicMock(
            args={
                "reports": str(tmp_path),
                "of_run": of_run,
                "facts": host.facts,
                "capture": host.capture,
                "running": {"slot": "a", "slot_state": "good", "run_id": "r1"},
                "current": host.plan,
                "manifest": MANIFEST,
                "options": {**options, **changes},
            },
            check_mode=False,
            async_val=0,
        )
        task.action = "dualroot.migrate.revive_plan"
        action = subject.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
        return action.run(task_vars={"inventory_hostname": "gw1"})

    run.shown, run.folder = shown, tmp_path
    return run


def test_a_plan_with_its_files(run):
    folder = lay(run.folder / "r1/gw1")
    result = run()
    assert (result["verdict"], result["changed"]) == ("proceed", False)
    assert result["plan"]["host"] == "gw1"
    assert result["archive"] == {
        "path": str(folder / "root.tar.gz"),
        "sha256": result["plan"]["payload"]["sha256"],
        "size": 7,
    }
    assert result["evidence"]["path"] == str(folder / "evidence.tar.gz")
    assert run.shown[0] == "gw1: archive of run r1: root.tar.gz, 7 B"


def test_without_an_archive_it_fails(run):
    result = run()
    assert result["failed"]
    assert result["fault"]["id"] == "revive.no_archive"


def test_the_archive_is_counted_for_a_lifeboat_alone(run, monkeypatch):
    lay(run.folder / "r1/gw1")
    counted = []
    monkeypatch.setattr(subject.saved, "unpacked_bytes", lambda *arguments: counted.append(arguments) or 0)
    run(lifeboat="none")
    assert counted == []
    result = run(lifeboat="required")
    assert len(counted) == 1
    assert result["verdict"] == "refuse"
