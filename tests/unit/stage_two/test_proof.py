# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage two asks for the proof of its run before it uses anything of the disk; what openssl says: tests/tools."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import proof
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import proof as kinds
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.parts import Parts

from tests.support.fake_runner import FakeRunner

from .stage import Stage, plan


def test_a_proof_that_is_wrong_returns_before_anything_is_read(tmp_path: Path) -> None:
    stage = Stage(tmp_path).go()
    stage.parts.faults["check_proof proof"] = [Fault(kinds.MANIFEST_OTHER, found="a", wanted="b")]
    assert stage.run() == 1
    assert stage.parts.calls[:4] == ["login admin", "network", "find_disk", "check_proof proof"]
    assert not any(call.startswith(("tear_down", "apply_table", "restore")) for call in stage.parts.calls)
    assert (stage.status["fault"]["id"], stage.status["fault"]["phase"]) == ("proof.manifest_other", "attach")
    assert stage.result_in_old["outcome"] == "returned"


def test_the_real_part_checks_bundle_and_machine(tmp_path: Path) -> None:
    folder = tmp_path / "proof"
    folder.mkdir()
    capture = {"hostname": "gw1", "machine_id": ""}
    with pytest.raises(Fault) as caught:
        Parts().check_proof(FakeRunner(), folder, plan(), capture)
    assert caught.value.id == "proof.incomplete"
    (folder / "manifest.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(Fault) as caught:
        Parts().check_proof(FakeRunner(), folder, plan(), capture)
    assert caught.value.id == "proof.manifest_other"


def test_a_plan_for_another_machine() -> None:
    proof.check_machine(plan(), {"hostname": "gw1"})
    with pytest.raises(Fault) as caught:
        proof.check_machine(plan(), {"hostname": "gw2"})
    assert caught.value.id == "proof.host_other"
