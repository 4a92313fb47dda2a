# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every branch of the wait from one slot into the other, with scripted observations and times."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.machine import Failed, Finished, KeepWaiting
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import (
    Answer,
    KeyChanged,
    Silence,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.slot_wait import SlotLimits, SlotWait, Wanted

LIMITS = SlotLimits(total=1000.0)
FROM = Answer(boot_id="old", uptime=900.0, arguments={"slot": "a", "run": "first"})
BACK = replace(FROM, boot_id="again", uptime=9.0)
NEW = Answer(boot_id="new", uptime=9.0, arguments={"slot": "b", "run": "r"})
DARK = Silence("Connection refused")
DENIED = Silence("Permission denied (publickey)", refused=True)
WHY = {"time": "t", "slot": "b", "run_id": "r", "event": "fell_back", "reason": "kernel panic in all tries"}
WAIT = KeepWaiting(LIMITS.pause)


def make(**wanted):
    fields = {"slot": "b", "run_id": "r", "from_slot": "a", "old_boot_id": "old", **wanted}
    return SlotWait(Wanted(**fields), LIMITS, 0.0)


def play(wait, *script):
    return [wait.step(now, observation) for now, observation in script]


def failed_with(decision):
    assert isinstance(decision, Failed), decision
    return decision.outcome, decision.fault["id"]


def test_the_slot_comes_up():
    wait = make()
    assert play(wait, (1, FROM), (5, DARK), (40, DENIED), (42, NEW)) == [WAIT, WAIT, WAIT, Finished("started")]
    assert wait.boot_ids == {"old": "old", "stage_two": None, "new": "new"}
    assert (wait.reason, wait.up_since) == ("", 42)


def test_a_host_that_runs_the_slot_already():
    assert make(old_boot_id=None).step(0, NEW) == Finished("started")


def test_a_fall_back_tells_the_reason_that_the_host_wrote_down():
    wait = make()
    told = replace(BACK, outcomes=(WHY,))
    decisions = play(wait, (5, DARK), (300, BACK), (310, told))
    assert decisions[:2] == [WAIT, WAIT]
    assert failed_with(decisions[2]) == ("fell_back", "slot.fell_back")
    assert "kernel panic in all tries" in decisions[2].fault["what"]
    assert wait.reason == "kernel panic in all tries"


@pytest.mark.parametrize(
    "other",
    [{"slot": "a"}, {"run_id": "another"}, {"event": "installed"}, {"event": "restarted"}],
)
def test_other_outcomes_are_no_reason(other):
    wait = make()
    told = replace(BACK, outcomes=({**WHY, **other},))
    assert play(wait, (300, told), (359, told)) == [WAIT, WAIT]
    assert "wrote down no reason" in wait.step(360, told).fault["what"]


def test_what_was_known_before_the_restart_is_no_reason():
    wait = make(known=(WHY,))
    assert wait.step(300, replace(BACK, outcomes=(WHY,))) == WAIT


def test_a_reason_without_words_is_its_event():
    wait = make()
    wait.step(300, replace(BACK, outcomes=({**WHY, "reason": "", "event": "bad"},)))
    assert wait.reason == "bad"


def test_the_slot_may_hold_what_no_run_is_known_of():
    wait = make(run_id="")
    assert wait.step(9, NEW) == Finished("started")
    assert failed_with(wait.step(10, replace(BACK, outcomes=(WHY,)))) == ("fell_back", "slot.fell_back")


def test_the_checks_of_the_slot_decide():
    wait = make()
    running = replace(NEW, health={"result": "running"})
    failed = replace(NEW, health={"result": "failed", "reason": "check 50-gateway"})
    assert play(wait, (50, running), (60, failed)) == [WAIT, WAIT]
    assert wait.line(65) == "   1:05  slot b runs, its checks: check 50-gateway"
    assert wait.up_since == 50
    # It restarts by itself, and comes up better.
    assert play(wait, (200, DARK), (260, replace(NEW, health={"result": "passed"}))) == [WAIT, Finished("started")]
    # The first login on the system that came out.
    assert wait.up_since == 260


def test_checks_that_have_not_begun_get_a_moment():
    wait = make()
    trying = replace(NEW, slots={"dr_b": "trying"})
    assert play(wait, (50, trying), (69, trying), (70, trying)) == [WAIT, WAIT, Finished("started")]
    assert wait.line(71) == "   1:11  slot b runs, its checks: not begun"
    assert make().step(50, replace(NEW, slots={"dr_b": "good"})) == Finished("started")


def test_the_slot_of_another_run():
    decision = make().step(9, replace(NEW, arguments={"slot": "b", "run": "other"}))
    assert failed_with(decision) == ("failed", "convert.foreign_run")
    assert "slot b" in decision.fault["what"]


def test_a_restart_that_is_ignored():
    wait = make()
    assert wait.step(399, FROM) == WAIT
    assert failed_with(wait.step(400, FROM)) == ("failed", "slot.restart_ignored")


def test_refused_logins_wait_for_the_tries_to_end():
    wait = make()
    assert play(wait, (100, DENIED), (900, DENIED)) == [WAIT, WAIT]
    decision = wait.step(1000, DENIED)
    assert failed_with(decision) == ("failed", "convert.login_refused")
    assert "900 s" in decision.fault["what"]


def test_a_host_that_stays_dark():
    decision = play(make(), (10, DENIED), (20, DARK), (1000, DARK))[-1]
    assert failed_with(decision) == ("failed", "slot.timed_out")
    assert "no answer" in decision.fault["what"]


@pytest.mark.parametrize(
    ("observation", "identity"),
    [
        (KeyChanged("other key"), "convert.host_key_changed"),
        (replace(NEW, key_warning=True), "convert.host_key_changed"),
        (Answer("x", 1.0, arguments={"mode": "recovery", "run": "first"}), "convert.in_recovery"),
        (Answer("x", 1.0, arguments={"mode": "convert", "run": "other"}), "convert.foreign_run"),
        (Answer("x", 1.0), "slot.none_runs"),
    ],
)
def test_what_ends_the_wait_at_once(observation, identity):
    assert failed_with(make().step(50, observation)) == ("failed", identity)


def test_a_key_warning_that_was_there_before_proves_nothing():
    assert make(key_warning_before=True).step(50, replace(NEW, key_warning=True)) == Finished("started")


def test_back_to_the_old_system_that_a_migration_kept():
    wait = make(kind="old", run_id="", slot="b")
    assert play(wait, (1, FROM), (9, DARK), (50, Answer("x", 1.0))) == [WAIT, WAIT, Finished("started")]
    assert wait.boot_ids["new"] == "x"


@pytest.mark.parametrize(
    ("observation", "line"),
    [
        (FROM, "   1:05  the host is going down"),
        (DARK, "   1:05  no answer"),
        (DENIED, "   1:05  no login yet"),
        (NEW, "   1:05  slot b runs"),
        (BACK, "   1:05  slot a runs, not slot b"),
        (Answer("x", 1.0, arguments={"mode": "recovery"}), "   1:05  the recovery system runs"),
    ],
)
def test_lines_for_the_person_who_waits(observation, line):
    wait = make()
    wait.step(65, observation)
    assert wait.line(65) == line


def test_the_mark_changes_with_what_is_worth_a_line():
    wait = make()
    marks = []
    for observation in (FROM, DARK, DENIED, NEW):
        wait.step(5, observation)
        marks.append(wait.mark())
    assert len(set(marks)) == 4
