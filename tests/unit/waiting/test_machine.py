# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every branch of the wait, with scripted observations and times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.machine import (
    Acknowledge,
    Expectation,
    Failed,
    Finished,
    GiveGo,
    KeepWaiting,
    Limits,
    Wait,
    settle,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import (
    Answer,
    KeyChanged,
    Silence,
)

FAULT = {"id": "stage_two.x", "phase": "load", "what": "w", "why": "y", "how": "h"}
OLD = Answer(boot_id="old", uptime=900.0)
FELL_BACK = Answer(boot_id="again", uptime=9.0)
NEW = Answer(boot_id="new", uptime=9.0, arguments={"slot": "a", "run": "r"})
DARK = Silence("Connection refused")
DENIED = Silence("Permission denied (publickey)", refused=True)


def stage_two(state="running", run_id="r", **status):
    body = {"run_id": run_id, "state": state, "phase": "load", "plan_digest": "d", **status}
    return Answer(boot_id="two", uptime=20.0, arguments={"mode": "convert", "run": run_id}, status=body)


def make(started=0.0, limits=None, **expected):
    fields = {"run_id": "r", "plan_digest": "d", "slot": "a", "old_boot_id": "old", **expected}
    return Wait(Expectation(**fields), limits or Limits(), started)


def play(wait, *script):
    """Feed ``(time, observation)`` pairs; an acknowledgement always works. Return the decisions."""
    decisions = []
    for now, observation in script:
        decision = wait.step(now, observation)
        if isinstance(decision, Acknowledge):
            wait.acknowledged()
        decisions.append(decision)
    return decisions


def failed_with(decision):
    assert isinstance(decision, Failed), decision
    return decision.outcome, decision.fault["id"]


def test_a_trial_that_failed_ends_in_the_old_system_that_was_kept():
    back = Answer(boot_id="again", uptime=9.0, arguments={"mode": "old", "run": "r"})
    for before in ((), ((90, stage_two("sealed", phase="seal")), (95, DARK))):
        assert failed_with(play(make(), (1, OLD), *before, (200, back))[-1]) == ("returned", "convert.trial_failed")
    # Of another run: a system that this run rebooted, and that stage two has not been seen in.
    other = replace(back, arguments={"mode": "old", "run": "earlier"})
    assert failed_with(play(make(), (1, OLD), (200, other))[-1]) == ("returned", "convert.fell_back")


def test_a_whole_conversion():
    wait = make()
    decisions = play(
        wait,
        (1, OLD),
        (5, DARK),
        (30, DENIED),
        (35, stage_two(ram_used_bytes=70)),
        (40, stage_two("awaiting")),
        (42, stage_two("awaiting")),
        (46, stage_two(phase="restore", ram_peak_bytes=90)),
        (90, stage_two("sealed", phase="seal")),
        (92, stage_two("sealed", phase="seal")),
        (95, DARK),
        (120, NEW),
    )
    limits = wait.limits
    assert decisions == [
        KeepWaiting(limits.short_pause),
        KeepWaiting(limits.short_pause),
        KeepWaiting(limits.short_pause),
        KeepWaiting(limits.pause),
        GiveGo("d"),
        KeepWaiting(limits.short_pause),
        KeepWaiting(limits.pause),
        Acknowledge(),
        KeepWaiting(limits.short_pause),
        KeepWaiting(limits.short_pause),
        Finished("converted"),
    ]
    assert wait.boot_ids == {"old": "old", "stage_two": "two", "new": "new"}
    assert wait.peak_ram_bytes == 90


def test_the_go_is_given_again_when_it_got_lost():
    wait = make()
    decisions = play(wait, (0, stage_two("awaiting")), (19, stage_two("awaiting")), (20, stage_two("awaiting")))
    assert [type(decision) for decision in decisions] == [GiveGo, KeepWaiting, GiveGo]


def test_an_acknowledgement_that_did_not_arrive_is_repeated():
    wait = make()
    assert wait.step(1, stage_two("sealed")) == Acknowledge()
    assert wait.step(2, stage_two("sealed")) == Acknowledge()


def test_a_missed_seal_does_not_matter():
    assert play(make(), (1, stage_two(phase="restore")), (60, NEW))[-1] == Finished("converted")


def test_a_rehearsal_returns_and_that_is_well():
    wait = make(mode="rehearse")
    decisions = play(wait, (1, stage_two("awaiting")), (5, stage_two("returning")), (9, DARK), (30, FELL_BACK))
    assert decisions[0] == GiveGo("d")
    assert decisions[1] == Acknowledge()
    assert decisions[-1] == Finished("returned")


def test_a_fault_before_the_point_of_no_return():
    decisions = play(make(), (1, stage_two("returning", fault=FAULT)), (30, FELL_BACK))
    assert decisions == [Acknowledge(), Failed("returned", FAULT)]


def test_a_rehearsal_with_a_fault_fails():
    decisions = play(make(mode="rehearse"), (1, stage_two("returning", fault=FAULT)), (30, FELL_BACK))
    assert decisions[-1] == Failed("returned", FAULT)


def test_a_foreign_plan_gets_no_go_and_is_named_after_the_return():
    wait = make()
    foreign = stage_two("awaiting", plan_digest="other")
    decisions = play(wait, (1, foreign), (2, foreign), (700, FELL_BACK))
    assert decisions[:2] == [KeepWaiting(wait.limits.pause)] * 2
    assert failed_with(decisions[2]) == ("returned", "convert.foreign_plan")


def test_back_in_the_old_system_without_stage_two():
    assert failed_with(play(make(), (1, DARK), (60, FELL_BACK))[-1]) == ("returned", "convert.fell_back")


def test_back_without_a_word():
    decisions = play(make(), (1, stage_two()), (60, FELL_BACK))
    assert failed_with(decisions[-1]) == ("returned", "convert.returned_silently")


def test_a_conversion_that_says_returning_without_a_fault_is_no_success():
    decisions = play(make(), (1, stage_two("returning")), (60, FELL_BACK))
    assert failed_with(decisions[-1]) == ("returned", "convert.returned_silently")


def test_a_reboot_that_does_not_happen():
    wait = make()
    assert wait.step(399, OLD) == KeepWaiting(wait.limits.short_pause)
    assert failed_with(wait.step(400, OLD)) == ("returned", "convert.reboot_ignored")


def test_attached_to_a_stage_two_that_goes_back():
    wait = make(old_boot_id=None)
    decisions = play(wait, (1, stage_two("returning", fault=FAULT)), (30, OLD))
    assert decisions == [Acknowledge(), Failed("returned", FAULT)]


@pytest.mark.parametrize("fault", [FAULT, None])
def test_a_held_host_fails_at_once(fault):
    decision = make().step(50, stage_two("holding", phase="restore", fault=fault))
    assert failed_with(decision) == ("failed", FAULT["id"] if fault else "convert.holding")


def test_recovery_fails_at_once():
    recovery = Answer(boot_id="x", uptime=1.0, arguments={"mode": "recovery", "run": "r"})
    assert failed_with(make().step(50, recovery)) == ("failed", "convert.in_recovery")


def test_a_changed_host_key_fails_at_once():
    assert failed_with(make().step(1, KeyChanged("changed"))) == ("failed", "convert.host_key_changed")


def test_a_warned_key_fails_unless_it_was_warned_of_before():
    warned = Answer(boot_id="new", uptime=1.0, arguments={"slot": "a", "run": "r"}, key_warning=True)
    assert failed_with(make().step(1, warned)) == ("failed", "convert.host_key_changed")
    assert make(key_warning_before=True).step(1, warned) == Finished("converted")


def test_a_lasting_refusal_is_no_endless_wait():
    wait = make()
    assert play(wait, (10, DENIED), (200, DENIED))[-1] == KeepWaiting(wait.limits.short_pause)
    assert failed_with(wait.step(250, DENIED)) == ("failed", "convert.login_refused")


def test_a_refusal_starts_anew_after_silence():
    wait = make()
    decisions = play(wait, (10, DENIED), (200, DARK), (260, DENIED), (400, DENIED))
    assert all(isinstance(decision, KeepWaiting) for decision in decisions)


@pytest.mark.parametrize("other", ["stage two", "new system"])
def test_a_foreign_run(other):
    new = Answer(boot_id="n", uptime=1.0, arguments={"slot": "a", "run": "q"})
    seen = stage_two(run_id="q") if other == "stage two" else new
    assert failed_with(make().step(1, seen)) == ("failed", "convert.foreign_run")


def test_a_cut_is_waited_through_and_counted():
    again = replace(stage_two("running", phase="restore", resumed=1), boot_id="three")
    wait = make()
    decisions = play(wait, (1, stage_two(phase="restore")), (30, DARK), (200, again), (300, DARK), (400, NEW))
    assert [type(one) for one in decisions[:4]] == [KeepWaiting] * 4
    assert decisions[4] == Finished("converted")
    assert wait.resumed == 1
    assert wait.boot_ids["stage_two"] == "three"


def test_a_resume_is_counted_by_what_is_seen_and_by_what_is_told():
    wait = make()
    play(wait, (1, stage_two(phase="attach", resumed=3)))
    assert wait.resumed == 3
    seen = make()
    play(seen, *((moment, replace(stage_two(), boot_id=f"b{moment}")) for moment in range(1, 6)))
    assert seen.resumed == 4


def test_the_wrong_slot():
    seen = Answer(boot_id="n", uptime=1.0, arguments={"slot": "b", "run": "r"})
    assert failed_with(make().step(1, seen)) == ("failed", "convert.wrong_slot")


def test_the_time_is_bounded_and_the_last_seen_is_told():
    wait = make(limits=Limits(total=100))
    decisions = play(wait, (50, stage_two(phase="restore")), (99, DARK), (100, DARK))
    assert isinstance(decisions[1], KeepWaiting)
    assert failed_with(decisions[2]) == ("failed", "convert.timed_out")
    assert "stage two in phase restore (running)" in decisions[2].fault["what"]
    assert "Connection refused" in decisions[2].fault["what"]


def test_the_time_is_bounded_while_it_answers_too():
    decision = make(limits=Limits(total=100)).step(100, stage_two("awaiting"))
    assert failed_with(decision) == ("failed", "convert.timed_out")


def test_a_late_success_is_a_success():
    assert make(limits=Limits(total=100)).step(101, NEW) == Finished("converted")


SILENT = Failed("returned", {"id": "convert.fell_back"})


@pytest.mark.parametrize(
    ("decision", "left_behind", "mode", "expected"),
    [
        (SILENT, None, "convert", SILENT),
        (SILENT, {"fault": FAULT}, "convert", Failed("returned", FAULT)),
        (SILENT, {"fault": FAULT}, "rehearse", Failed("returned", FAULT)),
        (SILENT, {"fault": None}, "convert", SILENT),
        (SILENT, {"fault": None}, "rehearse", Finished("returned")),
        (Failed("returned", FAULT), {"fault": {"id": "other"}}, "convert", Failed("returned", FAULT)),
    ],
)
def test_what_was_left_in_the_old_system_explains(decision, left_behind, mode, expected):
    assert settle(decision, left_behind, mode) == expected
