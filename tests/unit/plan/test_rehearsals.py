# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rehearsal calibrates: of this host, of this bundle, gone well, the newest; from two places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.rehearsals import newest
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.rehearsals import read_rehearsals
from ansible_collections.dualroot.migrate.plugins.module_utils.report import files
from ansible_collections.dualroot.migrate.plugins.module_utils.report.rehearsals import results

SHA = "f" * 64


def rehearsal(run_id: str = "20261120T1", **changes: Any) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "host": "gate1",
        "mode": "rehearse",
        "outcome": "returned",
        "fault": None,
        "bundle": {"manifest_sha256": SHA},
        "phases": [{"name": "load", "seconds": 3}],
        "payload_bytes": 9,
        "peak_ram_bytes": 8,
        **changes,
    }


def test_the_newest_counts() -> None:
    found = newest([rehearsal("20261119T1"), rehearsal("20261121T1"), rehearsal("20261120T1")], SHA)
    assert found is not None and found["run_id"] == "20261121T1"


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "convert"},
        {"outcome": "failed"},
        {"fault": {"id": "x"}},
        {"bundle": {"manifest_sha256": "0" * 64}},
        {"bundle": None},
        {"phases": None},
        {"phases": [{"name": "load", "seconds": True}]},
        {"phases": ["load"]},
        {"phases": [{"name": "load", "seconds": float("nan")}]},
        {"phases": [{"name": "load", "seconds": -1}]},
        {"peak_ram_bytes": float("inf")},
        {"downtime_seconds": "x"},
        {"payload_bytes": [1]},
    ],
    ids=str,
)
def test_what_does_not_count(change: dict[str, Any]) -> None:
    assert newest([rehearsal(**change), None, 7, "x", []], SHA) is None
    assert newest([rehearsal(bundle={"manifest_sha256": ""})], "") is None


def test_results_of_a_host_in_the_report_folder(tmp_path: Path) -> None:
    assert list(results(tmp_path / "nothing", "gate1")) == []
    for run, host in (("r1", "gate1"), ("r2", "gate2"), ("r3", "gate1")):
        files.write_host(files.host_folder(tmp_path, run, host), {"result": rehearsal(run, host=host)})
    (tmp_path / "r1/gate1/result.json").write_text("{")
    (tmp_path / "r2/gate1").symlink_to("gate2")
    assert [one["run_id"] for one in results(tmp_path, "gate1")] == ["r3"]


def test_results_that_the_host_keeps(tmp_path: Path) -> None:
    assert read_rehearsals(tmp_path) == []
    for number in range(25):
        folder = tmp_path / f"var/lib/dualroot/runs/2026112{number:02}"
        folder.mkdir(parents=True)
        document = rehearsal(folder.name, mode="convert" if number == 24 else "rehearse", secret="x")
        (folder / "result.json").write_text("[]" if number == 23 else json.dumps(document))
    found = read_rehearsals(tmp_path)
    assert found[0]["run_id"] == "202611222"
    assert len(found) == 18
    assert all("secret" not in one for one in found)
