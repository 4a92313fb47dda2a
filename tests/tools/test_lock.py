# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock of a host, taken by a real shell: exactly one of many gets it."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils import lock
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.plugin_utils import locking

JOE = lock.Holder("joe o'hara@office", "office", 7, "1", 'run"1\\')
JANE = lock.Holder("jane@desk", "desk", 8, "2", "run-2")


@pytest.fixture(autouse=True)
def _path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "dualroot/lock"
    monkeypatch.setattr(lock, "PATH", str(path))
    monkeypatch.setattr(locking, "CLAIM", str(tmp_path / "claim"))
    yield path


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest) -> Any:
    def run(text: str) -> Mapping[str, Any]:
        done = subprocess.run([request.param, "-c", text], capture_output=True, text=True, check=False)
        return {"rc": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    return run


def held(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def test_taken_renewed_released(shell: Any, _path: Path) -> None:
    assert locking.take(shell, JOE, 60) == (None, "")
    assert _path.stat().st_mode & 0o777 == 0o600
    assert held(_path)["expires"] - held(_path)["created"] == 60
    found, why = locking.take(shell, JOE, 600)
    assert found is not None and (found.holder, why) == (JOE, "renewed")
    assert held(_path)["expires"] - held(_path)["created"] == 600
    assert not locking.release(shell, JANE.run_id)
    assert locking.release(shell, JOE.run_id)
    assert [entry.name for entry in _path.parent.iterdir()] == []


def test_a_second_controller_is_told_who_holds_it(shell: Any, _path: Path) -> None:
    locking.take(shell, JOE, 60)
    for ask in (lambda: locking.take(shell, JANE, 60), lambda: locking.look(shell, JANE)):
        with pytest.raises(Fault) as caught:
            ask()
        assert caught.value.id == "migrate.locked"
        assert JOE.owner in caught.value.what
    assert held(_path)["owner"] == JOE.owner


def test_broken_on_demand_expired_or_killed(shell: Any, _path: Path) -> None:
    locking.take(shell, JOE, 60)
    found, why = locking.take(shell, JANE, 60, force=True)
    assert (found and found.holder, why) == (JOE, "broken")
    locking.take(shell, replace(JANE, run_id="run-3"), -1)
    assert locking.take(shell, JOE, 60)[1] == "expired"
    # A process of this controller that is long gone: the number has another start time now.
    mine = locking.this_process("run-4")
    locking.take(shell, replace(mine, run_id="run-5", process=1, started="0"), 60, force=True)
    assert locking.take(shell, mine, 60)[1] == "its process is gone"


@pytest.mark.parametrize("content", ["", "{", "\n\n", "x" * 4000])
def test_a_damaged_lock_is_replaced(shell: Any, _path: Path, content: str) -> None:
    _path.parent.mkdir()
    _path.write_text(content)
    locking.look(shell, JANE)
    assert locking.take(shell, JANE, 60) == (None, "")
    assert held(_path)["owner"] == JANE.owner


def test_looking_writes_nothing(shell: Any, _path: Path) -> None:
    locking.look(shell, JANE)
    assert not _path.parent.exists()


def test_a_folder_that_cannot_be_written(shell: Any, _path: Path) -> None:
    _path.parent.write_text("")
    with pytest.raises(Fault) as caught:
        locking.take(shell, JANE, 60)
    assert caught.value.id == "migrate.lock_failed"


@pytest.mark.parametrize("expired", [False, True])
def test_exactly_one_of_many_takes_it(shell: Any, _path: Path, expired: bool) -> None:
    if expired:
        locking.take(shell, JOE, -1)
    taken: list[int] = []

    def attempt(number: int) -> None:
        try:
            locking.take(shell, replace(JANE, controller=f"c{number}", run_id=f"r{number}"), 60)
            taken.append(number)
        except Fault as fault:
            assert fault.id == "migrate.locked", fault

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert held(_path)["run_id"] == f"r{taken[0]}"
    assert [entry.name for entry in _path.parent.iterdir()] == ["lock"]
