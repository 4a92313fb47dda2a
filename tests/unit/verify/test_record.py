# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record on the host: completed once, then left alone."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.verify import record

PLAN = {
    "run_id": "r",
    "host": "gate",
    "mode": "convert",
    "slot": "a",
    "payload": {"size": 9},
    "layout": {"name": "va"},
    "bundle": {"name": "deb", "version": "1"},
}
CONVERSION = {
    "downtime_seconds": 100.5,
    "boot_ids": {"old": "o", "stage_two": "s", "new": "n"},
    "peak_ram_bytes": 50,
    "phases": [{"name": "attach", "started": 1.0, "seconds": 2.0}],
}


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "var/lib/dualroot/runs/r"
    folder.mkdir(parents=True)
    stage_two = {"run_id": "r", "phases": [{"name": "load"}], "peak_ram_bytes": 70, "downtime_seconds": None}
    (folder / "result.json").write_text(json.dumps(stage_two), encoding="utf-8")
    return tmp_path


def test_the_record_is_completed(root):
    documents = record.wanted(PLAN, CONVERSION, root, root / "boot/dispatch")
    assert documents.result == {
        "run_id": "r",
        "host": "gate",
        "outcome": "converted",
        "fault": None,
        "slot": "a",
        "payload_bytes": 9,
        "phases": [{"name": "load"}],
        "peak_ram_bytes": 70,
        "downtime_seconds": 100.5,
        "boot_ids": {"old": "o", "stage_two": "s", "new": "n"},
    }
    assert documents.fact == {
        "slot": "a",
        "run_id": "r",
        "layout": "va",
        "bundle_name": "deb",
        "bundle_version": "1",
        "committed": True,
    }
    assert record.write(documents, root) == (True, "")
    assert json.loads((root / record.FACT).read_text(encoding="utf-8")) == documents.fact
    assert (root / record.FACT).stat().st_mode & 0o777 == 0o644
    assert (root / documents.result_path).stat().st_mode & 0o777 == 0o600


def test_a_second_run_changes_nothing(root):
    record.write(record.wanted(PLAN, CONVERSION, root, root / "boot/dispatch"), root)
    again = record.wanted(PLAN, {"downtime_seconds": None, "boot_ids": {"old": None}}, root, root / "boot/dispatch")
    assert again.result["downtime_seconds"] == 100.5
    assert record.write(again, root)[0] is False


def test_check_mode_writes_nothing(root):
    assert record.write(record.wanted(PLAN, CONVERSION, root, root / "boot/dispatch"), root, pretend=True) == (True, "")
    assert not (root / record.FACT).exists()


def test_without_a_record_of_stage_two(tmp_path):
    documents = record.wanted(PLAN, CONVERSION, tmp_path, tmp_path)
    assert documents.result["phases"] == CONVERSION["phases"]
    assert documents.result["peak_ram_bytes"] == 50


def test_the_record_of_an_update_ends_with_what_the_controller_saw(root):
    documents = record.wanted({**PLAN, "mode": "update"}, CONVERSION, root, root / "boot/dispatch")
    assert documents.result["outcome"] == "updated"
    assert documents.result["phases"] == CONVERSION["phases"]
    later = record.wanted({**PLAN, "mode": "update"}, {}, root, root / "boot/dispatch")
    assert later.result["phases"] == [{"name": "load"}]
