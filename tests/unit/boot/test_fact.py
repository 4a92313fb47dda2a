# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fact of a host: what was written once stays, the rest follows the slot state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import fact, records, slot_command, slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.records import SlotRecord

PLAN: dict[str, Any] = {
    "slot": "a",
    "run_id": "run-1",
    "layout": {"name": "va"},
    "bundle": {"name": "gateway", "version": 12},
}


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    folder = tmp_path / "boot/dispatch"
    folder.mkdir(parents=True)
    return folder


def set_state(mount: Path) -> None:
    state = slot_state.mark_good(slot_state.initial(slot_state.SLOTS), "a")
    slot_state.write(mount, slot_state.mark_trying(state, "b", 2))


def test_before_there_is_a_state_the_plan_is_told(mount: Path) -> None:
    assert fact.document(fact.base(PLAN), mount) == {
        "slot": "a",
        "run_id": "run-1",
        "layout": "va",
        "bundle_name": "gateway",
        "bundle_version": "12",
    }


def test_both_slots_are_told(mount: Path) -> None:
    set_state(mount)
    records.write_slot(mount, SlotRecord("b", "bundle", "gateway", "13", "va", "run-2", records.now()))
    found = fact.document({**fact.base(PLAN), "committed": True, "other": 1}, mount)
    assert found == {
        **fact.base(PLAN),
        "committed": True,
        "slots": {
            "a": {"state": "good", "name": "", "version": "", "run_id": ""},
            "b": {"state": "trying", "name": "gateway", "version": "13", "run_id": "run-2"},
        },
        "tries": 2,
        "boots_next": "b",
    }


def test_a_fact_is_brought_up_to_date_once(tmp_path: Path, mount: Path) -> None:
    assert not fact.refresh(tmp_path, mount)
    assert not (tmp_path / fact.PATH).exists()
    fact.write(tmp_path, fact.base(PLAN))
    assert not fact.refresh(tmp_path, mount)
    set_state(mount)
    assert fact.refresh(tmp_path, mount)
    assert not fact.refresh(tmp_path, mount)
    assert json.loads((tmp_path / fact.PATH).read_text())["slots"]["b"]["state"] == "trying"


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_fact_is_left_alone(tmp_path: Path, mount: Path, text: str) -> None:
    set_state(mount)
    fact.write(tmp_path, {})
    (tmp_path / fact.PATH).write_text(text)
    assert not fact.refresh(tmp_path, mount)
    assert (tmp_path / fact.PATH).read_text() == text


def test_a_slot_gets_the_command_and_what_runs_it_at_each_start(tmp_path: Path) -> None:
    slot_command.write(tmp_path)
    slot_command.write(tmp_path)
    assert (tmp_path / slot_command.PATH).stat().st_mode & 0o777 == 0o755
    assert slot_command.TEXT.isascii() and slot_command.TEXT.startswith("#!/bin/sh\n")
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants/dualroot-fact.service"
    assert wanted.resolve().read_text() == slot_command.UNIT
