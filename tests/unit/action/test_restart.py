# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action around the wait for a slot: a scripted host instead of a connection."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible_collections.dualroot.migrate.plugins.action import restart as subject
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import Answer, Silence
from ansible_collections.dualroot.migrate.plugins.plugin_utils import leading

from .test_convert import Clock, Host

FROM = Answer(boot_id="old", uptime=900.0, arguments={"slot": "a", "run": "first"}, slots={"dr_a": "good"})
BACK = replace(FROM, boot_id="again", uptime=3.0)
NEW = Answer(boot_id="new", uptime=9.0, arguments={"slot": "b", "run": "r"}, slots={"dr_b": "trying"})
OLD_SYSTEM = Answer(boot_id="x", uptime=9.0)
DARK = Silence("Connection refused")
WHY = {"time": "t", "slot": "b", "run_id": "r", "event": "fell_back", "reason": "no start reached userspace"}


@pytest.fixture
def restart(monkeypatch):
    """Return a function that runs the action against a host."""
    clock = Clock()
    for module in (subject, leading):
        monkeypatch.setattr(module, "time", clock)
    shown = []
    monkeypatch.setattr(leading, "display", SimpleNamespace(display=shown.append, vv=shown.append))

    def run(host, check_mode=False, transport="ssh", rc=0, **arguments):
        monkeypatch.setattr(subject, "Link", lambda connection, bound: host)
        given = {"slot": "b", "slot_run_id": "r", "run_id": "lead", **arguments}
        task = MagicMock(args=given, check_mode=check_mode, async_val=0)
        task.action = "dualroot.migrate.restart"
        action = subject.ActionModule(
            task, MagicMock(transport=transport), MagicMock(), MagicMock(), MagicMock(), MagicMock()
        )
        done = {"rc": rc, "stdout": "DUALROOT-REBOOTING\n", "stderr": ""}
        action._low_level_execute_command = MagicMock(return_value=done)
        result = action.run(task_vars={"inventory_hostname": "gate"})
        return SimpleNamespace(**result, all=result, root=action._low_level_execute_command, shown=shown)

    return run


def test_a_whole_restart(restart):
    result = restart(Host(FROM, FROM, DARK, NEW))
    assert (result.outcome, result.slot, result.changed, result.fault) == ("started", "b", True, None)
    assert result.downtime_seconds > 0
    assert result.boot_ids == {"old": "old", "stage_two": None, "new": "new"}
    assert "failed" not in result.all
    assert result.shown[0] == "gate: rebooting into slot b"


def test_the_lock_is_looked_at_and_given_back_by_the_system_that_goes_down(restart):
    script = restart(Host(FROM, NEW)).root.call_args.args[0]
    assert 'grep -qF \'"run_id":"lead"\' "$lock"' in script
    assert "sleep 2; rm -f /var/lib/dualroot/lock; systemctl reboot" in script


def test_a_host_that_runs_the_slot_is_left_alone(restart):
    result = restart(Host(NEW))
    assert (result.outcome, result.changed, result.downtime_seconds) == ("started", False, None)
    assert not result.root.called
    assert result.boot_ids["new"] == "new"


def test_a_fall_back(restart):
    result = restart(Host(FROM, DARK, replace(BACK, outcomes=(WHY,))))
    assert result.failed
    assert (result.outcome, result.slot, result.reason) == ("fell_back", "a", "no start reached userspace")
    assert result.fault["id"] == "slot.fell_back"
    assert result.downtime_seconds > 0


def test_a_lost_lock(restart):
    result = restart(Host(FROM), rc=78)
    assert result.fault["id"] == "convert.lock_lost"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (OLD_SYSTEM, "its old system"),
        (Answer("s", 1.0, arguments={"mode": "convert", "run": "r"}), "stage two"),
        (Answer("s", 1.0, arguments={"mode": "recovery", "run": "r"}), "the recovery system"),
    ],
)
def test_a_host_that_runs_no_slot_is_not_restarted(restart, first, said):
    result = restart(Host(first))
    assert result.fault["id"] == "slot.not_dual"
    assert said in result.fault["what"]
    assert not result.root.called


def test_back_to_the_old_system_of_a_migration_and_on_again(restart):
    result = restart(Host(FROM, DARK, OLD_SYSTEM), kind="old", slot_run_id="")
    assert (result.outcome, result.slot) == ("started", None)
    beside = replace(OLD_SYSTEM, slots={"dr_a": "good"})
    assert restart(Host(beside, DARK, NEW)).outcome == "started"
    assert not restart(Host(OLD_SYSTEM), kind="old", slot_run_id="").changed


def test_check_mode_does_nothing(restart):
    result = restart(Host(FROM), check_mode=True)
    assert result.changed
    assert not result.root.called


def test_the_controller_is_never_restarted(restart):
    assert restart(Host(FROM), transport="ansible.builtin.local").fault["id"] == "convert.local_connection"
