# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action around the wait: a scripted host instead of a connection."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.dualroot.migrate.plugins.action import convert as subject
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import (
    Answer,
    Silence,
)
from ansible_collections.dualroot.migrate.plugins.plugin_utils import leading
from ansible_collections.dualroot.migrate.plugins.plugin_utils.link import LinkDown

PLAN = {
    "run_id": "r",
    "digest": "d",
    "slot": "a",
    "mode": "convert",
    "payload": {"size": 77},
    "staging": {"run_directory": "/var/lib/dualroot/runs/r"},
}
FAULT = {"id": "stage_two.x", "phase": "load", "what": "w", "why": "y", "how": "h"}
OLD = Answer(boot_id="old", uptime=900.0)
AGAIN = Answer(boot_id="again", uptime=3.0)
NEW = Answer(boot_id="new", uptime=9.0, arguments={"slot": "a", "run": "r"})
DARK = Silence("Connection refused")
JOURNAL = json.dumps({"time": 10.0, "phase": "attach", "step": "s", "event": "done", "seconds": 2.0})


def stage_two(state="running", **status):
    body = {"run_id": "r", "state": state, "phase": "load", "plan_digest": "d", **status}
    return Answer(boot_id="two", uptime=20.0, arguments={"mode": "convert", "run": "r"}, status=body)


class Clock:
    """Time that only passes by sleeping."""

    def __init__(self):
        self.now = 1000.0

    def time(self):
        return self.now

    monotonic = time

    def sleep(self, seconds):
        self.now += seconds


class Host:
    """A link whose observations are scripted and whose commands are remembered."""

    def __init__(self, *script, deaf=()):
        self.script = list(script)
        self.commands = []
        self.deaf = deaf

    def __enter__(self):
        return self

    def __exit__(self, *_unused):
        return None

    def observe(self):
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def run(self, command):
        self.commands.append(command)
        if any(part in command for part in self.deaf):
            raise LinkDown(DARK)
        return 0, JOURNAL if "journal" in command else "", ""


@pytest.fixture
def convert(monkeypatch):
    """Return a function that runs the action against a host; its last argument is what become does."""
    clock = Clock()
    for module in (subject, leading):
        monkeypatch.setattr(module, "time", clock)
    shown = []
    monkeypatch.setattr(leading, "display", SimpleNamespace(display=shown.append, vv=shown.append))

    def run(host, reboot=None, check_mode=False, transport="ssh", timeout=3600, plan=None, left_behind=(), folder=None):
        monkeypatch.setattr(subject, "Link", lambda connection, bound: host)
        arguments = {"plan": plan or PLAN, "timeout": timeout, **({"directory": str(folder)} if folder else {})}
        task = MagicMock(args=arguments, check_mode=check_mode, async_val=0)
        task.action = "dualroot.migrate.convert"
        connection = MagicMock(transport=transport)
        action = subject.ActionModule(task, connection, MagicMock(), MagicMock(), MagicMock(), MagicMock())
        left_behind = [{"rc": 0, "stdout": text, "stderr": ""} for text in (*left_behind, "", "", "", "")]
        done = {"rc": 0, "stdout": "DUALROOT-REBOOTING\n", "stderr": ""}
        action._low_level_execute_command = MagicMock(side_effect=[reboot or done, *left_behind])
        result = action.run(task_vars={"inventory_hostname": "gate"})
        return SimpleNamespace(**result, all=result, root=action._low_level_execute_command, shown=shown)

    return run


def test_a_whole_conversion(convert):
    host = Host(OLD, OLD, DARK, stage_two("awaiting"), stage_two(ram_peak_bytes=5), stage_two("sealed"), DARK, NEW)
    result = convert(host)
    assert result.outcome == "converted"
    assert result.changed
    assert result.fault is None
    assert result.slot == "a"
    assert result.boot_ids == {"old": "old", "stage_two": "two", "new": "new"}
    assert result.peak_ram_bytes == 5
    assert result.payload_bytes == 77
    assert result.phases == [{"name": "attach", "started": 8.0, "seconds": 2.0}]
    assert result.downtime_seconds > 0
    assert "failed" not in result.all
    assert [command for command in host.commands if "/go" in command] == [
        "printf '%s\\n' d >/run/dualroot/go.new && mv /run/dualroot/go.new /run/dualroot/go"
    ]
    assert host.commands.count(": >/run/dualroot/seen") == 1
    assert result.root.call_args_list[0].kwargs == {"sudoable": True}
    assert result.shown[0] == "gate: rebooting into stage two"


def test_attach_to_a_running_stage_two(convert):
    result = convert(Host(stage_two(), stage_two("sealed"), NEW))
    assert result.outcome == "converted"
    assert result.boot_ids["old"] is None
    assert result.downtime_seconds >= 20.0
    assert not result.root.called


def test_a_converted_host_is_left_alone(convert):
    result = convert(Host(NEW))
    assert result.outcome == "converted"
    assert not result.changed
    assert result.downtime_seconds is None
    assert not result.root.called


def test_a_fault_before_the_point_of_no_return(convert):
    result = convert(Host(OLD, stage_two("returning", fault=FAULT), AGAIN))
    assert result.failed
    assert result.outcome == "returned"
    assert result.fault == FAULT
    assert result.msg == "w. y. h."
    assert result.slot is None
    assert [entry["phase"] for entry in result.journal] == ["attach"]


def test_what_stage_two_left_in_the_old_root_is_read(convert):
    result = convert(Host(OLD, DARK, AGAIN), left_behind=(JOURNAL, json.dumps({"fault": FAULT})))
    assert result.fault == FAULT
    assert [entry["phase"] for entry in result.journal] == ["attach"]
    assert "cat '/var/lib/dualroot/runs/r/journal.jsonl'" in result.root.call_args_list[1].args[0]


def test_nothing_was_left_in_the_old_root(convert):
    assert convert(Host(OLD, DARK, AGAIN)).fault["id"] == "convert.fell_back"


def test_a_lost_acknowledgement_is_tried_again(convert):
    host = Host(OLD, stage_two("sealed"), stage_two("sealed"), NEW, deaf=("seen",))
    assert convert(host).outcome == "converted"
    assert host.commands.count(": >/run/dualroot/seen") == 2


def test_a_host_that_stays_dark_fails(convert):
    result = convert(Host(OLD, DARK), timeout=100)
    assert result.failed
    assert result.outcome == "failed"
    assert result.fault["id"] == "convert.timed_out"
    assert result.downtime_seconds is None


def test_a_host_that_does_not_answer_at_first(convert):
    result = convert(Host(DARK))
    assert result.failed
    assert result.fault["id"] == "convert.no_answer"
    assert not result.root.called


@pytest.mark.parametrize(
    "reboot",
    [
        {"rc": 77, "stdout": "", "stderr": "become did not lead to root"},
        {"rc": 0, "stdout": "", "stderr": ""},
        AnsibleError("Incorrect sudo password"),
    ],
)
def test_a_refused_reboot(convert, reboot):
    result = convert(Host(OLD), reboot=reboot)
    assert result.failed
    assert result.fault["id"] == "convert.reboot_refused"


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        ("# GRUB Environment Block\nnext_entry=dualroot-convert\n", "convert.one_shot_ignored"),
        ("# GRUB Environment Block\nnext_entry=\n", "convert.ended_early"),
        ("", "convert.fell_back"),
    ],
)
def test_a_host_that_was_never_seen_in_stage_two(convert, block, fault):
    result = convert(Host(OLD, DARK, AGAIN), left_behind=("", "", "", block))
    assert (result.outcome, result.fault["id"]) == ("returned", fault)
    assert "grubenv" in result.root.call_args_list[-1].args[0]


def test_a_connection_that_ends_with_the_reboot(convert):
    result = convert(Host(OLD, stage_two("sealed"), NEW), reboot=AnsibleConnectionFailure("gone"))
    assert result.outcome == "converted"


def test_check_mode_does_nothing(convert):
    host = Host(OLD)
    result = convert(host, check_mode=True)
    assert result.changed
    assert not result.root.called


def test_the_controller_is_never_rebooted(convert):
    result = convert(Host(OLD), transport="ansible.builtin.local")
    assert result.fault["id"] == "convert.local_connection"


def test_a_rehearsal(convert):
    host = Host(OLD, stage_two("awaiting", mode="rehearse"), stage_two("returning"), DARK, AGAIN)
    result = convert(host, plan={**PLAN, "mode": "rehearse"})
    assert result.outcome == "returned"
    assert result.fault is None
    assert "failed" not in result.all


def test_a_host_that_another_run_took_over_is_not_rebooted(convert):
    lost = {"rc": 78, "stdout": "", "stderr": 'x{"owner":"joe@office","run_id":"other"'}
    result = convert(Host(OLD), reboot=lost)
    assert result.fault["id"] == "convert.lock_lost"
    assert result.fault["what"].endswith("the lock is not readable")
    script = result.root.call_args_list[0].args[0]
    assert 'grep -qF \'"run_id":"r"\' "$lock"' in script


def test_the_log_of_stage_two_is_kept_while_it_can_be_read(convert, tmp_path):
    class Talking(Host):
        def run(self, command):
            status, out, err = super().run(command)
            return (0, "attach: begins\n", "") if "/run/dualroot/log" in command else (status, out, err)

    result = convert(Talking(OLD, stage_two("sealed"), NEW), folder=tmp_path)
    folder = tmp_path / "r/gate"
    assert (folder / "stage-two.log").read_text().strip() == "attach: begins"
    assert (folder / "stage-two.log").stat().st_mode & 0o777 == 0o600
    assert json.loads((folder / "journal.json").read_text()) == [json.loads(JOURNAL)]
    assert "log" not in result.all


def restoring(state, **status):
    body = {"run_id": "r", "state": state, "phase": "seal", "plan_digest": "d", "mode": "restore", **status}
    return Answer(boot_id="two", uptime=20.0, arguments={"mode": "restore", "run": "r"}, status=body)


SLOT = Answer(boot_id="slot", uptime=900.0, arguments={"slot": "a", "run": "r1"})


def test_a_restore_leads_from_a_slot_to_the_old_system(convert):
    host = Host(SLOT, SLOT, DARK, restoring("awaiting"), restoring("sealed"), DARK, AGAIN)
    result = convert(host, plan={**PLAN, "mode": "restore"})
    assert (result.outcome, result.slot, result.fault, result.changed) == ("restored", None, None, True)
    assert result.boot_ids == {"old": "slot", "stage_two": "two", "new": "again"}
    assert result.downtime_seconds > 0


def test_a_restore_that_fails_is_told_from_what_lies_in_the_slot(convert):
    back = Answer(boot_id="slot2", uptime=5.0, arguments={"slot": "a", "run": "r1"})
    left = (JOURNAL, json.dumps({"fault": FAULT}))
    result = convert(Host(SLOT, DARK, back), plan={**PLAN, "mode": "restore"}, left_behind=left)
    assert result.failed
    assert (result.outcome, result.fault) == ("returned", FAULT)
