# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbooks ``restore`` and ``disarm`` on scripted hosts: what a controller that died has left behind."""

from __future__ import annotations

import sys

import pytest

from tests.support.scripted_hosts import CHECKED, PLAYBOOK, changed

pytestmark = pytest.mark.skipif(not PLAYBOOK, reason="needs ansible-playbook beside this Python")

LEFT = "20251231T000000Z-000009"
OLD = {"system": "old_system", "run_id": None, "slot": None, "kept": None, "unfinished": ""}
SLOT = {"system": "new_system", "slot": "a", "run_id": "first", "slot_state": "good", "kept": None, "unfinished": ""}
PLAN = {"mode": "restore", "run_id": LEFT, "slot": "a", "lifeboat": {"used": True}, "digest": "d"}
RESULT = {"run_id": LEFT, "outcome": "restored", "mode": "restore", "slot": None, "fault": None}
USUAL = {
    "bundle_check": [CHECKED],
    "interpreter": [{"interpreter": sys.executable}],
    "where": [OLD],
    "revive_stage": [{"changed": True, "armed": False, "changes": []}],
    "initramfs_stage": [{"changed": True, "changes": []}],
}


def test_a_host_that_runs_its_old_system_is_left_alone(play):
    done = play("restore", dualroot_consent=1)
    assert done.returncode == 0, done.output
    assert done.names() == []
    assert "Every host is what it should be already" in done.output


def test_a_restore_that_no_controller_finished_is_finished(play):
    answers = {
        "where": [{**OLD, "unfinished": LEFT}, {**OLD, "kept": {"plan": PLAN, "result": RESULT, "journal": []}}],
        "revive_finish": [{"changed": True, "device": "/dev/vda1", "plan": PLAN}],
    }
    done = play("restore", "!dualroot_run_id", dualroot_consent=1, answers=answers)
    assert done.returncode == 0, done.output
    assert done.names() == ["lock", "revive_finish", "lock"]
    assert [(one.get("state", "held"), one["run_id"]) for one in done.of("lock")] == [
        ("held", LEFT),
        ("released", LEFT),
    ]
    # By the plan that the host has kept, for the controller may be another one.
    assert done.of("revive_finish") == [{}]
    result = done.result(LEFT)
    assert (result["outcome"], result["run_id"], result["fault"]) == ("restored", LEFT, None)


def test_it_too_wants_consent(play):
    done = play("restore", "!dualroot_run_id", answers={"where": [{**OLD, "unfinished": LEFT}]})
    assert done.returncode == 0, done.output
    assert done.names() == []
    assert "run again with -e dualroot_consent=1" in done.output


def test_a_slot_with_a_staged_restore_is_disarmed(play):
    done = play("disarm", answers={"where": [{**SLOT, "restore_staged": True}]})
    assert done.returncode == 0, done.output
    assert done.names() == ["lock", "revive_stage", "lock"]
    assert done.of("revive_stage") == [{"state": "disarmed"}]


def test_a_slot_without_one_is_left_alone(play):
    done = play("disarm", answers={"where": [SLOT]})
    assert done.returncode == 0, done.output
    assert done.names() == []
    assert changed(done) == "0"


def test_an_old_system_is_disarmed_as_ever(play):
    done = play("disarm")
    assert done.returncode == 0, done.output
    assert done.names() == ["lock", "initramfs_stage", "lock"]
