# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage two brings the old system back: its phases, what each of them does, and where it stops."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document as plans

from .stage import MIB, PAYLOAD, UUID, FakeParts, Stage, broken, described
from .stage import plan as plan_of_conversion

SHA = "0" * 64
ROOT = {
    "start": MIB,
    "length": 15 * MIB,
    "uuid": UUID,
    "label": "",
    "options": ["-b", "4096"],
    "blocks": 3840,
    "grown": 3840,
    "block_bytes": 4096,
}


def piece(start, length=512):
    return {"file": "start.bin", "skip": 0, "start": start, "length": length, "sha256": SHA}


def plan(**changes):
    """Return the plan of a restore: the one of a conversion without what only that has."""
    content = plan_of_conversion()
    for name in ("digest", "esp", "renderer", "trial_limit"):
        del content[name]
    return plans.freeze(
        {
            **content,
            "mode": "restore",
            "payload": {**described(PAYLOAD, "root.tar.gz"), "compression": "gzip", "unpacked_bytes": 0},
            "from_run_id": "r1",
            "old": {
                "run_id": "r1",
                "root": ROOT,
                "cleared": [[8 * MIB, 512]],
                "pieces": [piece(MIB, 1024), piece(20 * MIB), piece(512), piece(0)],
            },
            **changes,
        }
    )


class Parts(FakeParts):
    """With the parts that only a restore calls."""

    def deactivate(self, runner, layout):
        self._call("deactivate")

    def check_revival(self, runner, node, layout, old):
        self._call(f"check_revival {node}")

    def clear(self, node, places):
        self._call(f"clear {places[0][0] // MIB}")

    def map_root(self, runner, node, name, place):
        self._call(f"map {name} {place['start'] // MIB}")

    def unmap_root(self, runner, name):
        self._call(f"unmap {name}")

    def make_old_root(self, runner, device, root):
        self._call(f"make {device} {root['blocks']}")

    def old_piece(self, folder, number, wanted):
        assert folder.name == "old"
        return bytes([number]) * wanted["length"]

    def put_back(self, node, start, content):
        self._call(f"put_back {start} {content[0]}")


def make(tmp_path, document=None, mode="restore"):
    stage = Stage(tmp_path, document or plan())
    stage.parts = Parts()
    stage.write("proc/cmdline", f"dualroot.mode={mode} dualroot.run={stage.plan['run_id']} gpt panic=30\n")
    stage.old("var/lib/dualroot/stage/root.tar.gz", PAYLOAD)
    return stage


def result_of(stage):
    folder = stage.places.new / f"var/lib/dualroot/runs/{stage.plan['run_id']}"
    return json.loads((folder / "result.json").read_text())


def test_the_old_system_comes_back_and_lba_0_is_last(tmp_path):
    stage = make(tmp_path).go()
    assert stage.run() == 0
    name = "dualroot-old-root"
    calls = stage.parts.calls
    assert calls[calls.index("activate") :] == [
        "activate",
        "find_disk",
        "check_revival /dev/vda",
        "deactivate",
        "disk_users /dev/vda",
        "tear_down /dev/vda",
        "clear 8",
        f"map {name} 1",
        f"make /dev/mapper/{name} 3840",
        f"restore new {stage.plan['payload']['sha256'][:4]}",
        f"put_back {20 * MIB} 1",
        "put_back 512 2",
        f"unmap {name}",
        f"put_back {MIB} 0",
        "put_back 0 3",
    ]
    assert stage.mounts == [str(stage.places.payload)]
    assert stage.status["state"] == "sealed"
    assert stage.reboots == 1
    assert not (stage.places.new / ".dualroot-restore").exists()


def test_the_result_lies_in_the_old_system(tmp_path):
    stage = make(tmp_path).go()
    stage.run()
    found = result_of(stage)
    assert (found["outcome"], found["mode"], found["slot"], found["fault"]) == ("restored", "restore", None, None)
    assert [phase["name"] for phase in found["phases"]][:3] == ["attach", "load", "await"]
    # Without a lifeboat nothing is left to be done there.
    assert not list(stage.places.new.rglob("unfinished"))


def test_no_recovery_system_is_copied(tmp_path):
    stage = make(tmp_path).go()
    stage.run()
    assert ("load", "payload", "done") in stage.journal
    assert not any(step == "environment" for _phase, step, _event in stage.journal)


def with_lifeboat(tmp_path):
    wish = {"wish": "required", "used": True, "needed_bytes": 1, "allowed": [], "gaps": [], "swaps": []}
    stage = make(tmp_path, plan(lifeboat=wish))
    stage.give_lifeboat()
    return stage


def cut(stage):
    stage.cut()
    line = f"dualroot.mode=restore dualroot.run={stage.plan['run_id']} dualroot.resume=1 gpt panic=30\n"
    stage.write("proc/cmdline", line)


def test_with_a_lifeboat_control_is_taken_and_nothing_is_held_in_memory(tmp_path):
    stage = with_lifeboat(tmp_path).go()
    assert stage.run() == 0
    calls = stage.parts.calls
    assert calls.index("prepare_lifeboat /dev/vda") < calls.index("take_control /dev/vda")
    assert calls.index("take_control /dev/vda") < calls.index("tear_down /dev/vda") < calls.index("put_back 0 3")
    assert stage.mounts == []
    assert result_of(stage)["lifeboat"] is True
    (mark,) = stage.places.new.rglob("unfinished")
    assert (mark.parent / "plan.json").exists()


def test_a_cut_in_the_restore_makes_the_file_system_anew(tmp_path):
    stage = with_lifeboat(tmp_path).go()
    stage.parts.faults[f"restore new {stage.plan['payload']['sha256'][:4]}"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    cut(stage)
    assert stage.run() == 0
    name = "dualroot-old-root"
    calls = stage.parts.calls
    assert calls[calls.index(f"map {name} 1") :][:3] == [
        f"map {name} 1",
        f"make /dev/mapper/{name} 3840",
        f"restore new {stage.plan['payload']['sha256'][:4]}",
    ]
    assert calls[-1] == "put_back 0 3"
    assert "tear_down /dev/vda" not in calls
    assert result_of(stage)["resumed"] == 1


def test_a_cut_before_lba_0_goes_on_with_the_sectors(tmp_path):
    stage = with_lifeboat(tmp_path).go()
    stage.parts.faults["put_back 0 3"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    cut(stage)
    assert stage.run() == 0
    assert not any(call.startswith(("make ", "restore ")) for call in stage.parts.calls)
    assert stage.parts.calls[-1] == "put_back 0 3"


def test_without_a_go_nothing_is_written_and_the_slot_comes_back(tmp_path):
    stage = make(tmp_path)
    assert stage.run() == 1
    assert stage.result_in_old["fault"]["id"] == "stage_two.no_go"
    assert not any(call.startswith(("tear_down", "put_back", "make ")) for call in stage.parts.calls)


def test_what_fails_before_the_first_write_is_left_in_the_slot(tmp_path):
    stage = make(tmp_path).go()
    stage.parts.faults["check_revival /dev/vda"] = [broken()]
    assert stage.run() == 1
    # The groups were active to the end, or are made so again for the evidence.
    assert stage.parts.calls[-1] == "activate"
    assert stage.result_in_old["outcome"] == "returned"


def test_an_unattended_restore_asks_nobody(tmp_path):
    stage = make(tmp_path, plan(attended=False))
    assert stage.run() == 0
    assert ("await", "go", "skip") in stage.journal


def test_a_failing_write_past_the_point_of_no_return_is_tried_again(tmp_path):
    stage = make(tmp_path).go()
    stage.parts.faults["put_back 0 3"] = [broken(), broken()]
    assert stage.run() == 0
    assert stage.parts.calls[-3:] == ["put_back 0 3"] * 3


def test_a_second_start_of_the_program_goes_on_where_the_first_ended(tmp_path):
    """The first process starts it again; without a lifeboat only memory knows of what was done."""
    stage = make(tmp_path).go()
    stage.parts.faults["put_back 0 3"] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        stage.run()
    stage.parts.calls.clear()
    stage.mounts.remove(str(stage.places.payload))
    assert stage.run() == 0
    assert [call.split()[0] for call in stage.parts.calls if not call.startswith(("login", "network"))] == [
        "map",
        "unmap",
        "put_back",
    ]
    assert result_of(stage)["outcome"] == "restored"


@pytest.mark.parametrize(("document", "mode"), [(plan_of_conversion, "restore"), (plan, "convert")])
def test_a_plan_of_the_other_mode_is_not_carried_out(tmp_path, document, mode):
    stage = make(tmp_path, document(), mode).go()
    assert stage.run() == 1
    assert stage.status["fault"]["id"] == "stage_two.other_mode"
    assert not any(call.startswith("tear_down") for call in stage.parts.calls)
