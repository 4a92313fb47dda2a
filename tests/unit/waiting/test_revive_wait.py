# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wait for a host that goes from a slot back into its old system."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.machine import (
    Acknowledge,
    Expectation,
    Finished,
    GiveGo,
    KeepWaiting,
    Limits,
    settle,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import Answer, KeyChanged
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.revive_wait import ReviveWait

from .test_machine import DARK, FAULT, failed_with, play

SLOT = Answer(boot_id="slot", uptime=900.0, arguments={"slot": "a", "run": "r1"})
SLOT_AGAIN = Answer(boot_id="slot2", uptime=9.0, arguments={"slot": "a", "run": "r1"})
OLD = Answer(boot_id="old", uptime=9.0)


def stage_two(state="running", **status):
    body = {"run_id": "r", "state": state, "phase": "load", "plan_digest": "d", "mode": "restore", **status}
    return Answer(boot_id="two", uptime=20.0, arguments={"mode": "restore", "run": "r"}, status=body)


def make(old_boot_id="slot", **limits):
    expected = Expectation(run_id="r", plan_digest="d", slot="a", mode="restore", old_boot_id=old_boot_id)
    return ReviveWait(expected, Limits(**limits), 0.0)


def test_a_restore_that_goes_well():
    wait = make()
    script = [(1, SLOT), (9, DARK), (40, stage_two("awaiting")), (60, stage_two()), (90, stage_two("sealed"))]
    decisions = play(wait, *script, (99, DARK), (130, OLD))
    assert [type(one) for one in decisions] == [
        *(KeepWaiting, KeepWaiting, GiveGo, KeepWaiting, Acknowledge, KeepWaiting, Finished),
    ]
    assert decisions[-1] == Finished("restored")
    assert wait.boot_ids == {"old": "slot", "stage_two": "two", "new": "old"}


def test_the_old_system_alone_is_proof_enough():
    """A controller that was away while the host sealed sees only what came out."""
    assert play(make(old_boot_id=None), (1, OLD)) == [Finished("restored")]


def test_a_reboot_that_is_ignored():
    assert failed_with(play(make(reboot=10.0), (11, SLOT))[-1]) == ("returned", "convert.reboot_ignored")


def test_a_host_that_is_back_in_its_slot():
    assert failed_with(play(make(), (1, SLOT), (60, SLOT_AGAIN))[-1]) == ("returned", "revive.went_back")


def test_a_fault_of_stage_two_is_what_is_told():
    decision = play(make(), (40, stage_two("returning", fault=FAULT)), (60, SLOT_AGAIN))[-1]
    assert failed_with(decision) == ("returned", FAULT["id"])


def test_a_plan_of_another_run_gets_no_go():
    decision = play(make(), (40, stage_two("awaiting", plan_digest="x")), (60, SLOT_AGAIN))[-1]
    assert failed_with(decision) == ("returned", "convert.foreign_plan")


def test_another_host_key():
    assert failed_with(play(make(), (1, KeyChanged("changed")))[-1]) == ("failed", "convert.host_key_changed")


@pytest.mark.parametrize("left", [{"fault": FAULT, "outcome": "returned"}])
def test_the_result_that_was_left_behind_says_why(left):
    decision = play(make(), (60, SLOT_AGAIN))[-1]
    assert failed_with(settle(decision, left, "restore")) == ("returned", FAULT["id"])
