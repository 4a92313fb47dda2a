# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``dualroot-slot``, run by a real shell on plain files, against what the engine reads and writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    fact,
    records,
    slot_command,
    slot_state,
    slots,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.records import Outcome, SlotRecord
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_state import SlotState

RECORD = SlotRecord(
    "a", "bundle", "gateway-13", "1.2~rc1", "va", "20260101T120000Z-3f9a1c", "2026-01-01T12:10:00Z", title="Debian 13"
)
STATE = SlotState(("a", "b"), {"a": "good", "b": "good"}, generation=6)
SHELLS = [found for found in (shutil.which("dash"), shutil.which("bash")) if found]


class Host:
    """The files that the command sees; ``mount`` and the like only note that they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shell = folder, SHELLS[0]
        self.dispatch, self.proc, self.bin = folder / "dispatch", folder / "proc", folder / "bin"
        for path in (self.dispatch, self.proc, self.bin):
            path.mkdir()
        self.said = folder / "said"
        self.said.touch()
        (self.proc / "cmdline").write_text("root=/dev/VA/root ro dualroot.slot=a dualroot.run=run-a\n")
        self.mounted("ro,relatime")
        self.command("mount", f'echo "mount $*" >>{self.said}')
        self.command("df", 'printf "Filesystem 1024-blocks Used Available Capacity Mounted on\\n$DF"')
        (folder / slot_command.PATH).parent.mkdir(parents=True)
        slot_command.write(folder)

    def command(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def mounted(self, options: str) -> None:
        line = f"/dev/vda2 {self.dispatch} ext4 {options} 0 0\n" if options else ""
        (self.proc / "mounts").write_text("proc /proc proc rw 0 0\n" + line)

    def run(self, *arguments: str, status: int = 0, df: str = "") -> str:
        environment = {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DF": df or "tmpfs 1 1 1 1%% /run\\n/dev/mapper/VA-root 2048 1024 512 50%% /\\n",
            **{f"DUALROOT_{name}": str(value) for name, value in self._places().items()},
        }
        argv = [self.shell, str(self.folder / slot_command.PATH), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, timeout=60)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def json(self) -> Any:
        return json.loads(self.run("status", "--json"))

    def _places(self) -> Mapping[str, Path]:
        return {"DISPATCH": self.dispatch, "PROC": self.proc, "ROOT": self.folder}

    @property
    def state(self) -> SlotState:
        reading = slot_state.read(self.dispatch)
        assert not reading.damaged
        assert len({(self.dispatch / name).read_bytes() for name in slot_state.FILE_NAMES}) == 1
        return reading.state


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    slot_state.write(host.dispatch, STATE)
    records.write_slot(host.dispatch, RECORD)
    return host


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    path = tmp_path / "dualroot-slot"
    path.write_text(slot_command.TEXT)
    # Variables that eval sets; "A && B || C" where C is meant for both.
    subprocess.run(["shellcheck", "-s", "sh", "-e", "SC2154,SC2015,SC1003", str(path)], check=True)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "wish"),
    [
        (["good", "b"], slots.Wish("b", "good")),
        (["bad", "a"], slots.Wish("a", "bad")),
        (["try", "b"], slots.Wish("b", "trying")),
        (["try", "b", "2"], slots.Wish("b", "trying", 2)),
        (["next", "b"], slots.Wish(next="b")),
        (["next", "r"], slots.Wish(next="r")),
        (["next", "none"], slots.Wish(next="none")),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        STATE,
        SlotState(("b", "a"), {"a": "good", "b": "trying"}, 2, "r", 3),
        SlotState(("a", "b"), {"a": "trying", "b": "good"}, 1, "", 99),
        SlotState(("a", "b"), {"a": "good", "b": "bad"}, 0, "a", 9),
    ],
)
def test_a_change_is_the_one_that_the_engine_makes(
    host: Host, shell: str, words: list[str], wish: slots.Wish, before: SlotState
) -> None:
    host.shell = shell
    written = slot_state.write(host.dispatch, before)
    wanted = slots.change(written, replace(wish, force=True))
    host.run(*words, "--force")
    found = host.state
    assert replace(found, generation=0) == replace(wanted, generation=0)
    assert found.generation == written.generation + (wanted != written)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("before", "tries"),
    [
        (SlotState(("a", "b"), {"a": "trying", "b": "good"}, 1, "", 9), 3),
        (SlotState(("a", "b"), {"a": "trying", "b": "empty"}, 0, "", 9), 3),
        (SlotState(("a", "b"), {"a": "trying", "b": "good"}, 3, "", 9), None),
        (SlotState(("a", "b"), {"a": "good", "b": "trying"}, 0, "", 9), None),
        # The count is the other slot's.
        (SlotState(("b", "a"), {"a": "trying", "b": "trying"}, 1, "", 9), None),
        (SlotState(("a", "b"), {"a": "bad", "b": "good"}, 0, "", 9), None),
    ],
    ids=["second try", "last try", "all there", "good", "the other slot", "given up"],
)
def test_a_start_that_went_well_gives_the_tries_back(
    host: Host, shell: str, before: SlotState, tries: int | None
) -> None:
    host.shell = shell
    written = slot_state.write(host.dispatch, before)
    host.run("again", "a")
    assert host.state == (
        written if tries is None else replace(written, tries=tries, generation=written.generation + 1)
    )
    logs = list(host.dispatch.glob("runs/*/trial.log"))
    assert [log.read_text() for log in logs] == ([] if tries is None else ["uptime=0 slot=a left=3 given\n"])


def test_the_block_is_changed_in_place_and_by_one_sector(host: Host) -> None:
    before = {name: (host.dispatch / name).stat().st_ino for name in slot_state.FILE_NAMES}
    host.run("good", "b")
    assert {name: (host.dispatch / name).stat().st_ino for name in slot_state.FILE_NAMES} == before
    assert (host.dispatch / "state").read_bytes() == slot_state.serialize(host.state)


def test_the_file_system_is_writable_for_the_change_only(host: Host) -> None:
    host.run("next", "b")
    assert host.said.read_text() == (f"mount -o remount,rw {host.dispatch}\nmount -o remount,ro {host.dispatch}\n")
    host.said.write_text("")
    host.run("bad", "c", status=2)
    host.mounted("rw,relatime")
    host.run("next", "none")
    assert host.said.read_text() == ""


def test_it_is_read_only_again_after_a_refusal(host: Host) -> None:
    slot_state.write(host.dispatch, SlotState(("a", "b"), {"a": "good", "b": "bad"}))
    said = host.run("bad", "a", status=1)
    assert "last slot that may be booted" in said
    assert host.state.slots["a"] == "good"
    assert host.said.read_text().endswith(f"mount -o remount,ro {host.dispatch}\n")
    host.run("bad", "a", "--force")
    assert host.state.choice() == "r"


@pytest.mark.parametrize("word", ["good", "try", "next"])
def test_an_empty_slot_is_not_booted(host: Host, word: str) -> None:
    slot_state.write(host.dispatch, SlotState(("a", "b"), {"a": "good", "b": "empty"}))
    assert "holds nothing" in host.run(word, "b", status=1)
    assert host.state.slots["b"] == "empty" and not host.state.next


@pytest.mark.parametrize("name", slot_state.FILE_NAMES)
@pytest.mark.parametrize("damage", [b"", b"x" * 1024, b"short"])
def test_a_damaged_copy_is_left_out_and_mended(host: Host, name: str, damage: bytes) -> None:
    other = SlotState(("b", "a"), {"a": "good", "b": "good"})
    slot_state.write(host.dispatch, other)
    (host.dispatch / name).write_bytes(damage)
    found = host.json()
    assert found["order"] == ["b", "a"]
    assert [bool(copy["damage"]) for copy in found["copies"]] == [name == "state", name == "state.copy"]
    host.run("good", "b")
    assert host.state.order == ("b", "a")


def test_the_newer_copy_counts(host: Host) -> None:
    old = (host.dispatch / "state").read_bytes()
    slot_state.write(host.dispatch, SlotState(("b", "a"), {"a": "good", "b": "good"}))
    (host.dispatch / "state").write_bytes(old)
    assert host.json()["order"] == ["b", "a"]


def test_a_lost_state_is_said(host: Host) -> None:
    for name in slot_state.FILE_NAMES:
        (host.dispatch / name).write_bytes(b"")
    assert "cannot be read: it has not 1024 bytes" in host.run()
    assert "slots" not in host.json()
    assert "neither copy" in host.run("good", "a", status=1)


def test_json_is_what_the_engine_reads(host: Host) -> None:
    records.add_outcome(host.dispatch, Outcome("2026-01-01T12:20:00Z", "b", "run-b", "fell_back", "no sshd (22), 'x'"))
    with (host.dispatch / "outcomes.jsonl").open("ab") as file:
        file.write(b'{"time": "cut\n\x00\xff\n')
    log = host.dispatch / "runs/run-b/trial.log"
    log.parent.mkdir(parents=True)
    log.write_text("uptime=900 slot=b reason=no sshd listens\n")
    found = host.json()
    assert found["slots"]["a"] == {"state": "good", **{k: v for k, v in RECORD.__dict__.items() if k != "slot"}}
    assert found["slots"]["b"]["state"] == "good" and found["slots"]["b"]["version"] == ""
    assert found["outcomes"] == [vars(outcome) for outcome in records.read_outcomes(host.dispatch)]
    assert found["tries_ended"] == [{"run_id": "run-b", "slot": "b", "reason": "no sshd listens"}]
    assert found["file_systems"] == [
        {"device": "/dev/mapper/VA-root", "mount": "/", "size_bytes": 2 << 20, "free_bytes": 512 << 10}
    ]
    assert (found["running"], found["run_id"], found["mode"]) == ("a", "run-a", "")
    state = slots.describe(host.state)
    assert {name: found[name] for name in state if name != "slots"} == {n: v for n, v in state.items() if n != "slots"}
    assert (found["boots_next"], found["fell_back"]) == ("a", False)


def test_a_fall_back_is_seen(host: Host) -> None:
    slot_state.write(host.dispatch, SlotState(("b", "a"), {"a": "good", "b": "trying"}, 0))
    assert host.json()["fell_back"] is True
    assert "slot b is on trial, and another system came up" in host.run()


def test_mount_points_with_odd_names(host: Host) -> None:
    text = host.run("--json", df='/dev/vdb1 4 2 2 50%% /srv/with "quotes" and spaces\\n')
    assert json.loads(text)["file_systems"][0]["mount"] == '/srv/with "quotes" and spaces'


def test_text_for_people(host: Host) -> None:
    slot_state.write(host.dispatch, SlotState(("b", "a"), {"a": "good", "b": "trying"}, 1))
    records.add_outcome(host.dispatch, Outcome("2026-01-01T12:20:00Z", "b", "run-b", "installed", ""))
    assert host.run().splitlines() == [
        "slot a (good, runs now): gateway-13 1.2~rc1, Debian 13",
        "slot b (trying, 1 try left, boots next)",
        "slot b is on trial, and another system came up",
        "what happened, the newest last:",
        "  2026-01-01T12:20:00Z  slot b  installed",
        "free space:",
        "  /: 0 of 2 MiB (/dev/mapper/VA-root)",
    ]


def test_the_reason(host: Host) -> None:
    assert host.run("reason") == "nothing is known to have gone wrong\n"
    records.add_outcome(host.dispatch, Outcome("2026-01-01T12:20:00Z", "b", "run-b", "fell_back", "no sshd"))
    records.add_outcome(host.dispatch, Outcome("2026-01-01T12:30:00Z", "a", "run-a", "good", ""))
    assert host.run("reason") == "2026-01-01T12:20:00Z  slot b  fell_back  no sshd\n"


def test_what_is_done_by_hand_is_told(host: Host) -> None:
    host.run("bad", "b", 'web "shop"', "does\nnot answer")
    host.run("good", "a")
    host.run("note", "a", "restarted", "by\thand")
    found = [(one.slot, one.event, one.reason, one.run_id) for one in records.read_outcomes(host.dispatch)]
    assert found == [
        ("b", "bad", "web 'shop' does not answer", ""),
        ("a", "good", "marked by dualroot-slot", RECORD.run_id),
        ("a", "restarted", "by hand", RECORD.run_id),
    ]
    host.run("bad", "b", "no sshd", "--event", "fell_back")
    assert [(one.event, one.reason) for one in records.read_outcomes(host.dispatch)[3:]] == [("fell_back", "no sshd")]
    assert (host.dispatch / "outcomes.jsonl").stat().st_mode & 0o777 == 0o644


def test_without_a_record_the_run_is_the_one_that_runs(host: Host) -> None:
    records.remove_slot(host.dispatch, "a")
    host.run("note", "a", "restarted")
    host.run("note", "b", "restarted")
    assert [one.run_id for one in records.read_outcomes(host.dispatch)] == ["run-a", ""]


def test_only_the_last_outcomes_are_kept(host: Host) -> None:
    for number in range(records.OUTCOMES_KEPT):
        records.add_outcome(host.dispatch, Outcome(records.now(), "a", "r", "good", str(number)))
    host.run("note", "a", "bad", "the last")
    found = records.read_outcomes(host.dispatch)
    assert (len(found), found[0].reason, found[-1].reason) == (records.OUTCOMES_KEPT, "1", "the last")


def test_the_fact_is_written_as_the_engine_does(host: Host) -> None:
    base = {"slot": "a", "run_id": RECORD.run_id, "layout": "va", "bundle_name": "g", "bundle_version": "1"}
    for kept in (base, {**base, "committed": True}):
        fact.write(host.folder, kept)
        host.run("try", "b")
        assert (host.folder / fact.PATH).read_text() == fact.dump(fact.document(kept, host.dispatch))
        host.run("good", "a")
        assert not fact.refresh(host.folder, host.dispatch)
        assert json.loads((host.folder / fact.PATH).read_text())["slots"]["b"]["state"] == "trying"


@pytest.mark.skipif(shutil.which("flock") is None, reason="needs flock")
def test_the_start_of_a_system_writes_the_fact_after_who_changes_the_state(host: Host) -> None:
    base = {"slot": "a", "run_id": RECORD.run_id, "layout": "va", "bundle_name": "g", "bundle_version": "1"}
    fact.write(host.folder, base)
    at_work = host.folder / "at-work"
    with ThreadPoolExecutor(1) as pool:
        with slot_state.locked(host.dispatch):
            # It has told that it is there before it may wait, and it must not have read the state by then.
            host.command("flock", f'echo here >{at_work}\nexec {shutil.which("flock")} "$@"')
            writer = pool.submit(host.run, "fact")
            while not at_work.exists() and not writer.done():
                time.sleep(0.01)
            slot_state.write(host.dispatch, replace(STATE, slots={"a": "good", "b": "bad"}))
            # A writer that does not wait would be through long before.
            time.sleep(0.5)
            assert not writer.done()
            assert fact.refresh(host.folder, host.dispatch)
        writer.result()
    assert (host.folder / fact.PATH).read_text() == fact.dump(fact.document(base, host.dispatch))
    assert [path.name for path in (host.folder / fact.PATH).parent.iterdir()] == ["dualroot.fact"]


def test_a_system_without_a_fact_gets_none(host: Host) -> None:
    host.run("fact")
    assert not (host.folder / fact.PATH).exists()


def test_without_a_dispatch_file_system_it_ends(host: Host) -> None:
    host.mounted("")
    host.command("mount", "exit 1")
    for words in (["status"], ["good", "a"], ["fact"]):
        assert "a host without one has no slots" in host.run(*words, status=1)


def test_the_recovery_system_mounts_it_itself(host: Host) -> None:
    host.mounted("")
    host.command("mount", f'echo "mount $*" >>{host.said}; test "$1" = -o')
    (host.proc / "cmdline").write_text("dualroot.mode=recovery dualroot.reason=no_slot dualroot.run=run-a\n")
    assert "the recovery system runs now: no_slot" in host.run()
    assert host.said.read_text().endswith(f"mount -o ro LABEL=dispatch {host.dispatch}\n")


def test_a_kept_old_system_is_left_as_it_is(host: Host) -> None:
    host.mounted("")
    host.command("mount", f'echo "mount $*" >>{host.said}; test "$1" = -o')
    (host.proc / "cmdline").write_text("root=/dev/sda1 dualroot.mode=old dualroot.run=run-a\n")
    host.run(status=0)
    mount = host.folder / "run/dualroot/dispatch"
    assert host.said.read_text().endswith(f"mount -o ro LABEL=dispatch {mount}\n")


def test_what_the_checks_said_is_shown(host: Host) -> None:
    assert host.json()["health"] is None
    path = host.folder / "run/dualroot/health.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"result": "failed",\n "reason": "web"}\n')
    assert host.json()["health"] == {"result": "failed", "reason": "web"}
    path.write_text('{"result": "fai')
    assert host.json()["health"] is None


@pytest.mark.parametrize(
    "words",
    [
        ["good"],
        ["good", "c"],
        ["next"],
        ["next", "x"],
        ["try", "b", "4"],
        ["again"],
        ["again", "r"],
        ["explode"],
        ["status", "a"],
        ["--yes"],
    ]
    + [["note", "a"], ["note", "a", "exploded"], ["bad", "a", "--event", "x"], ["--event"]],
)
def test_a_wrong_command_line_changes_nothing(host: Host, words: list[str]) -> None:
    assert "Usage:" in host.run(*words, status=2)
    assert host.said.read_text() == ""


def test_help(host: Host) -> None:
    assert host.run("help").startswith("Usage:") and host.run("--help").startswith("Usage:")
