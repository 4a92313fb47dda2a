# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The playbooks ``update`` and ``rollback`` on scripted hosts."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.support.scripted_hosts import CHECKED, PLAYBOOK, RUN, changed

pytestmark = pytest.mark.skipif(not PLAYBOOK, reason="needs ansible-playbook beside this Python")

PLAN = {
    "mode": "update",
    "run_id": RUN,
    "slot": "b",
    "from_slot": "a",
    "from_run_id": "first",
    "bundle": {"name": "gateway", "version": "2", "manifest_sha256": "m2"},
    "payload": {"file": "rootfs.tar.zst", "sha256": "5" * 64, "size": 77},
    "lifeboat": {"used": False},
    "layout": {"name": "va"},
    "digest": "d",
}
FROM = {"system": "new_system", "slot": "a", "run_id": "first", "slot_state": "good", "kept": None}
NEW = {"system": "new_system", "slot": "b", "run_id": RUN, "slot_state": "trying", "kept": {"plan": PLAN}}
JUDGED = {"verdict": "proceed", "findings": [], "refused": None, "lines": ["slot b"], "plan": PLAN, "capture": {"x": 1}}
STARTED = {
    "changed": True,
    "outcome": "started",
    "slot": "b",
    "reason": "",
    "downtime_seconds": 40.0,
    "started": 9.0,
    "seconds": 50.0,
}
FAULT = {"id": "verify.layout_differs", "phase": "verify", "what": "1 point differs", "why": "y.", "how": "h."}
FELL_BACK = {
    "failed": True,
    "msg": "m",
    "outcome": "fell_back",
    "slot": "a",
    "reason": "check 50-gateway ended with status 1",
    "downtime_seconds": 400.0,
    "fault": {"id": "slot.fell_back", "phase": "update", "what": "Slot b was given up", "why": "y.", "how": "h."},
}
USUAL: dict[str, list[dict[str, Any]]] = {
    "bundle_check": [CHECKED],
    "interpreter": [{"interpreter": sys.executable}],
    "where": [FROM],
    "update_plan": [JUDGED],
    "slot_install": [{"changed": True, "phases": [{"name": "restore", "seconds": 5.0}], "peak_ram_bytes": 7}],
    "restart": [STARTED],
    "slot_info": [{"slots": {"a": "good", "b": "trying"}}],
    "host_commit": [{"changed": True, "result": {"outcome": "updated", "slot": "b", "run_id": RUN}}],
}


def test_without_consent_nothing_is_changed(play):
    done = play("update")
    assert done.returncode == 0, done.output
    assert done.names() == []
    assert "run again with -e dualroot_consent=1" in done.output
    assert changed(done) == "0"


def test_check_mode_only_looks(play):
    done = play("update", "--check", dualroot_consent=1)
    assert done.returncode == 0, done.output
    assert done.names() == []
    assert not done.folder.exists()


def test_a_whole_update(play):
    done = play("update", dualroot_consent=1, dualroot_health_commands="true\n true", dualroot_carry_paths="/opt/x")
    assert done.returncode == 0, done.output
    assert done.names() == [
        "lock",
        "transfer",
        "slot_install",
        "transfer",
        "restart",
        "lock",
        "host_verify",
        "slot_mark",
        "host_commit",
        "lock",
    ]
    staging = f"/var/lib/dualroot/updates/{'5' * 16}"
    (install,) = done.of("slot_install")
    assert install["source"] == staging
    assert install["health_commands"] == ["true", "true"]
    assert install["carry_paths"] == ["/opt/x"]
    sent, removed = done.of("transfer")
    assert sent["files"][0]["dest"] == f"{staging}/rootfs.tar.zst"
    assert removed["state"] == "absent"
    (restart,) = done.of("restart")
    assert (restart["slot"], restart["slot_run_id"], restart["run_id"]) == ("b", RUN, RUN)
    (verify,) = done.of("host_verify")
    assert verify["upto"] == "commit"
    (mark,) = done.of("slot_mark")
    assert (mark["slot"], mark["state"], mark["event"]) == ("b", "good", "good")
    (commit,) = done.of("host_commit")
    assert [phase["name"] for phase in commit["conversion"]["phases"]] == ["restore", "restart"]
    assert commit["conversion"]["peak_ram_bytes"] == 7
    assert done.result()["outcome"] == "updated"


def test_a_bundle_under_a_url_is_streamed_by_the_host(play):
    checked = {**CHECKED, "folder": "", "url": "https://bundles.example/gateway"}
    # What the check returns may be shown; the host needs the login, too.
    address = "https://deploy:secret@bundles.example/gateway"
    done = play("update", answers={"bundle_check": [checked]}, dualroot_consent=1, dualroot_bundle=address)
    assert done.returncode == 0, done.output
    assert "transfer" not in done.names()
    assert done.of("slot_install")[0]["source"] == address


def test_a_host_that_runs_the_bundle_is_left_alone(play):
    same = {**JUDGED, "verdict": "same", "plan": None}
    done = play("update", answers={"update_plan": [same]}, dualroot_consent=1)
    assert done.returncode == 0, done.output
    assert done.names() == []
    assert changed(done) == "0"
    assert not list(done.folder.glob("*/*/result.json"))


def test_two_updates_in_one_go_are_two_runs(play, collections):
    """What the first has seen and chosen does not lead the second."""
    folder = collections / "ansible_collections/dualroot/migrate/playbooks"
    twice = collections / "twice.yml"
    twice.write_text("".join(f"- import_playbook: {folder}/update.yml\n" for _time in range(2)), encoding="utf-8")
    same = {**JUDGED, "verdict": "same", "plan": None}
    done = play(
        str(twice.with_suffix("")), "!dualroot_run_id", answers={"update_plan": [JUDGED, same]}, dualroot_consent=1
    )
    assert done.returncode == 0, done.output
    assert len(done.of("slot_install")) == len(done.of("restart")) == 1
    first, second = (judged["options"]["run_id"] for judged in done.of("update_plan"))
    assert first != second


def test_a_host_that_is_refused(play):
    refused = {**JUDGED, "verdict": "refuse", "plan": None, "refused": {**FAULT, "id": "preflight.refused"}}
    done = play("update", answers={"update_plan": [refused]}, dualroot_consent=1)
    assert done.returncode != 0
    assert done.names() == []
    assert done.result()["fault"]["id"] == "preflight.refused"


def test_a_system_that_waits_for_its_verification_is_verified(play):
    done = play(
        "update", "!dualroot_run_id", answers={"where": [NEW], "restart": [{"outcome": "started"}]}, dualroot_consent=1
    )
    assert done.returncode == 0, done.output
    assert done.names() == ["lock", "restart", "host_verify", "slot_mark", "host_commit", "lock"]
    assert done.result()["outcome"] == "updated"


@pytest.mark.parametrize(
    ("where", "identity"),
    [
        ({"system": "old_system"}, "slot.not_dual"),
        ({"system": "stage_two", "run_id": "x"}, "slot.not_dual"),
        ({"system": "recovery", "run_id": "first"}, "convert.in_recovery"),
        ({**NEW, "kept": None}, "update.on_trial"),
        ({**NEW, "kept": {"plan": {**PLAN, "bundle": {"manifest_sha256": "other"}}}}, "update.on_trial"),
        ({**NEW, "kept": {"plan": {**PLAN, "mode": "convert"}}}, "update.on_trial"),
    ],
)
def test_hosts_that_are_not_updated(play, where, identity):
    done = play("update", answers={"where": [where]}, dualroot_consent=1)
    assert done.returncode != 0
    assert done.names() == []
    assert done.result()["fault"]["id"] == identity


def test_a_slot_that_fell_back(play):
    answers = {"restart": [FELL_BACK], "slot_info": [{"slots": {"a": "good", "b": "bad"}}]}
    done = play("update", answers=answers, dualroot_consent=1)
    assert done.returncode != 0
    assert done.names()[4:] == ["restart", "lock", "lock"]
    result = done.result()
    assert (result["outcome"], result["slot"], result["fault"]["id"]) == ("fell_back", "a", "slot.fell_back")
    assert result["reason"] == "check 50-gateway ended with status 1"
    assert result["mode"] == "update"
    assert [phase["name"] for phase in result["phases"]] == ["restore"]


def test_a_trial_that_is_left_over_is_taken_back(play):
    done = play("update", answers={"restart": [FELL_BACK]}, dualroot_consent=1)
    (mark,) = done.of("slot_mark")
    assert (mark["slot"], mark["state"], mark["event"]) == ("b", "bad", "bad")
    # It runs the good slot already.
    assert len(done.of("restart")) == 1


def test_an_installation_that_failed(play):
    fault = {**FAULT, "id": "update.content_differs"}
    answers = {
        "slot_install": [{"failed": True, "fault": fault, "msg": "m"}],
        "slot_info": [{"slots": {"a": "good", "b": "bad"}}],
    }
    done = play("update", answers=answers, dualroot_consent=1)
    assert done.returncode != 0
    assert done.names() == ["lock", "transfer", "slot_install", "lock", "lock"]
    result = done.result()
    assert (result["outcome"], result["slot"], result["fault"]["id"]) == ("failed", "a", "update.content_differs")


GIVEN_UP = {"where": [FROM, NEW, FROM], "host_verify": [{"failed": True, "fault": FAULT, "msg": "m"}]}


def test_a_system_that_is_not_as_planned_is_given_up(play):
    back = {**STARTED, "slot": "a"}
    done = play("update", answers={**GIVEN_UP, "restart": [STARTED, back]}, dualroot_consent=1)
    assert done.returncode != 0
    (mark,) = done.of("slot_mark")
    assert (mark["slot"], mark["state"], mark["reason"]) == ("b", "bad", "1 point differs")
    _there, restart = done.of("restart")
    assert (restart["slot"], restart["slot_run_id"]) == ("a", "first")
    result = done.result()
    assert (result["outcome"], result["slot"], result["reason"]) == ("fell_back", "a", "1 point differs")
    assert result["fault"]["id"] == "verify.layout_differs"


def test_a_system_that_is_not_as_planned_may_be_left_running(play):
    answers = {**GIVEN_UP, "where": [FROM, NEW]}
    done = play("update", answers=answers, dualroot_consent=1, dualroot_give_up_unhealthy="false")
    assert done.of("slot_mark") == []
    assert done.of("slot_install")[0]["decisive"] is False
    assert len(done.of("restart")) == 1
    assert (done.result()["outcome"], done.result()["slot"]) == ("failed", "b")


def test_a_host_that_is_gone_keeps_its_fault(play):
    dark = {"failed": True, "system": "dark", "fault": FAULT}
    timed_out = {
        **FELL_BACK,
        "outcome": "failed",
        "fault": {**FAULT, "id": "slot.timed_out"},
        "slot": None,
        "reason": "",
    }
    done = play("update", answers={"where": [FROM, dark], "restart": [timed_out]}, dualroot_consent=1)
    assert done.returncode != 0
    assert done.of("slot_mark") == []
    assert (done.result()["outcome"], done.result()["fault"]["id"]) == ("failed", "slot.timed_out")


def test_the_host_of_another_run_is_not_touched(play):
    lost = {"failed": True, "msg": "m", "outcome": "failed", "fault": {**FAULT, "id": "convert.lock_lost"}}
    done = play("update", answers={"restart": [lost]}, dualroot_consent=1)
    assert done.returncode != 0
    assert done.of("slot_mark") == []


CHOSEN = {
    "needed": True,
    "target": "a",
    "target_run_id": "first",
    "target_kind": "bundle",
    "running": "b",
    "event": "rolled_back",
    "why": "",
    "changed": True,
}
ON_B = {**FROM, "slot": "b", "run_id": "second"}
BACK = {**STARTED, "slot": "a"}


def rolling(**answers):
    usual = {"where": [ON_B, {**FROM, "kept": {"plan": PLAN}}], "slot_rollback": [CHOSEN], "restart": [BACK]}
    return {**usual, **answers}


def test_a_whole_rollback(play):
    done = play("rollback", answers=rolling())
    assert done.returncode == 0, done.output
    assert done.names() == ["lock", "slot_rollback", "restart", "host_verify", "slot_mark", "lock"]
    (verify,) = done.of("host_verify")
    assert (verify["upto"], verify["configuration"]) == ("commit", False)
    (mark,) = done.of("slot_mark")
    assert (mark["slot"], mark["state"], mark["event"], mark["run_id"]) == ("a", "good", "rolled_back", RUN)
    result = done.result()
    assert (result["outcome"], result["slot"], result["mode"]) == ("rolled_back", "a", "rollback")


def test_a_host_that_was_rolled_back_is_left_alone(play):
    stays = {**CHOSEN, "needed": False, "changed": False, "target": "b", "why": "rolled back already"}
    done = play("rollback", answers=rolling(slot_rollback=[stays]))
    assert done.returncode == 0, done.output
    assert done.names() == ["lock", "slot_rollback", "lock"]
    assert changed(done) == "0"
    assert not list(done.folder.glob("*/*/result.json"))


def test_the_check_mode_of_a_rollback(play):
    done = play("rollback", "--check", answers=rolling())
    assert done.returncode == 0, done.output
    assert done.of("restart") == []
    assert not done.folder.exists()


def test_a_slot_without_a_plan_of_its_own(play):
    done = play("rollback", answers=rolling(where=[ON_B, FROM]))
    assert done.returncode == 0, done.output
    assert done.of("host_verify") == []
    assert len(done.of("slot_mark")) == 1


def test_a_rollback_that_is_refused(play):
    refused = {"failed": True, "msg": "m", "fault": {**FAULT, "id": "rollback.not_good"}}
    done = play("rollback", answers=rolling(slot_rollback=[refused], where=[ON_B]))
    assert done.returncode != 0
    assert done.names() == ["lock", "slot_rollback", "lock"]
    result = done.result()
    assert (result["outcome"], result["slot"], result["fault"]["id"]) == ("failed", "b", "rollback.not_good")


def test_a_rollback_that_fell_back(play):
    back = {**FELL_BACK, "slot": "b"}
    answers = rolling(where=[ON_B, ON_B], restart=[back], slot_info=[{"slots": {"a": "bad", "b": "good"}}])
    done = play("rollback", answers=answers)
    assert done.returncode != 0
    assert done.of("slot_mark") == []
    assert (done.result()["outcome"], done.result()["slot"]) == ("fell_back", "b")


def test_a_rollback_to_a_system_that_is_not_healthy_goes_back(play):
    there = {**FROM, "kept": {"plan": PLAN}, "slot_state": "trying"}
    answers = rolling(
        where=[ON_B, there, there, ON_B],
        host_verify=[{"failed": True, "fault": FAULT, "msg": "m"}],
        restart=[BACK, {**STARTED, "slot": "b"}],
        slot_info=[{"slots": {"a": "trying", "b": "good"}}],
    )
    done = play("rollback", answers=answers)
    assert done.returncode != 0
    assert done.of("slot_mark")[0]["state"] == "bad"
    assert done.of("restart")[1]["slot"] == "b"
    assert (done.result()["outcome"], done.result()["slot"]) == ("fell_back", "b")
