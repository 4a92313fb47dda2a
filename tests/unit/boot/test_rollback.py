# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host goes back to, and when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import rollback
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.records import Outcome, SlotRecord
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_state import SlotState
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault


def host(a="good", b="good", running="b", *events, tries=0):
    state = SlotState(order=("b", "a"), slots={"a": a, "b": b}, tries=tries)
    outcomes = [Outcome("t", slot, "r", event, reason) for slot, event, reason in events]
    return rollback.Host(state, running, {}, outcomes)


def test_the_other_slot_that_is_good():
    assert rollback.choose(host()) == rollback.Rollback("a", True, "slot a is good")
    assert rollback.choose(host(running="a")).target == "b"


def test_a_host_that_was_rolled_back_stays():
    back = host("good", "good", "a", ("b", "good", ""), ("a", "rolled_back", ""), ("b", "installed", ""))
    assert rollback.choose(back) == rollback.Rollback("a", False, "the host was rolled back to slot a already")


def test_a_named_slot_goes_on_from_there():
    back = host("good", "good", "a", ("b", "good", ""), ("a", "rolled_back", ""))
    assert rollback.choose(back, "b").needed
    assert not rollback.choose(back, "a").needed


def test_going_on_to_the_newer_system_can_be_rolled_back():
    def record(slot, installed):
        return SlotRecord(slot, "bundle", "n", "1", "va", "r", installed)

    records = {"a": record("a", "2026-01-01T00:00:00Z"), "b": record("b", "2026-02-01T00:00:00Z")}
    back = replace(host("good", "good", "a", ("a", "rolled_back", "")), records=records)
    assert rollback.event(back, "b") == "good"
    assert rollback.event(replace(back, running="b"), "a") == "rolled_back"
    assert rollback.event(replace(back, records={}), "b") == "rolled_back"
    on = host("good", "good", "b", ("a", "rolled_back", ""), ("b", "good", ""))
    assert rollback.choose(on).target == "a"


def test_an_update_after_a_rollback_can_be_rolled_back():
    again = host("good", "good", "b", ("a", "rolled_back", ""), ("b", "good", ""))
    assert rollback.choose(again).target == "a"


@pytest.mark.parametrize("state", ["bad", "trying"])
def test_a_slot_that_is_not_good(state):
    found = host("good", state, "a", ("b", "fell_back", "the gateway is silent"), ("a", "good", ""))
    with pytest.raises(Fault) as caught:
        rollback.choose(found)
    assert caught.value.id == "rollback.not_good"
    assert "the gateway is silent" in caught.value.what
    assert rollback.choose(found, force=True).needed


def test_an_empty_slot_is_refused_even_with_force():
    with pytest.raises(Fault) as caught:
        rollback.choose(host("good", "empty", "a"), force=True)
    assert caught.value.id == "rollback.nothing_there"


def test_a_slot_of_which_nothing_is_known():
    with pytest.raises(Fault) as caught:
        rollback.choose(host("good", "bad", "a"))
    assert "nobody wrote down why" in caught.value.what


def test_the_slot_gone_back_to_is_on_trial():
    after = rollback.change(host().state, "b", "a")
    assert (after.order, dict(after.slots), after.tries) == (("a", "b"), {"a": "trying", "b": "good"}, 3)
    assert after.choice() == "a"


def test_a_slot_that_runs_on_trial_is_given_up():
    after = rollback.change(host("good", "trying", "b", tries=2).state, "b", "a")
    assert (dict(after.slots), after.tries, after.choice()) == ({"a": "good", "b": "bad"}, 0, "a")
    forced = rollback.change(host("bad", "trying", "b", tries=2).state, "b", "a")
    assert (dict(forced.slots), forced.tries) == ({"a": "trying", "b": "bad"}, 3)


def test_the_kept_old_system_of_a_migration():
    found = host("trying", "good", "a", tries=1)
    assert rollback.choose(found).target == "b"
    # From there slot a is the other one.
    assert rollback.choose(host("good", "good", "")).target == "a"
