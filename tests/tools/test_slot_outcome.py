# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a good slot and the recovery system say of a slot that fell back, by a real shell on plain files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import outcome, records, slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.records import Outcome, SlotRecord
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_state import SlotState

RUN = "20260101T120000Z-3f9a1c"
RECORD = SlotRecord("b", "bundle", "gateway-13", "2", "va", RUN, "2026-01-01T12:10:00Z")
UNSEEN = "it ended before its services started: no kernel, no root, a panic or a hang"
UNHEARD = "it had started and ended without a word: a panic, a hang or a reset"
SHELLS = [found for found in (shutil.which("dash"), shutil.which("bash")) if found]


class Host:
    """A dispatch file system; ``run`` starts the good slot, and returns what it recorded."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.root, self.shell = folder / "root", shell
        self.dispatch, self.proc, self.bin = folder / "dispatch", folder / "proc", folder / "bin"
        for path in (self.dispatch, self.proc / "1", self.bin, self.root):
            path.mkdir(parents=True)
        (self.proc / "mounts").write_text(f"/dev/vda2 {self.dispatch} ext4 ro,relatime 0 0\n")
        self.arguments("ro dualroot.slot=a dualroot.run=run-a")
        self.said = folder / "said"
        self.said.touch()
        mount = self.bin / "mount"
        mount.write_text(f'#!/bin/sh\necho "mount $*" >>{self.said}\n')
        mount.chmod(0o755)
        records.write_slot(self.dispatch, RECORD)
        self.state(tries=0)

    def arguments(self, text: str) -> None:
        (self.proc / "cmdline").write_text(text + "\n")

    def state(self, b: str = "trying", a: str = "good", tries: int = 0) -> None:
        slot_state.write(self.dispatch, SlotState(("b", "a"), {"a": a, "b": b}, tries=tries))

    def log(self, *lines: str, run: str = RUN) -> None:
        folder = self.dispatch / "runs" / run
        folder.mkdir(parents=True)
        (folder / "trial.log").write_text("".join(f"uptime=60 slot=b {line}\n" for line in lines))

    def run(self) -> list[Outcome]:
        program = self.root.parent / "slot-outcome"
        program.write_text(outcome.TEXT)
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DUALROOT_ROOT": str(self.root),
            "DUALROOT_PROC": str(self.proc),
            "DUALROOT_DISPATCH": str(self.dispatch),
        }
        subprocess.run([self.shell, str(program)], env=environment, check=True, timeout=60)
        return records.read_outcomes(self.dispatch)

    @property
    def now(self) -> SlotState:
        return slot_state.read(self.dispatch).state


@pytest.fixture(name="host", params=SHELLS)
def _host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    return Host(tmp_path, request.param)


START = {left: f"left={left} started" for left in (2, 1, 0)}
FAILED = "reason=required check 'x' ended with status 1"


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((START[2], FAILED, "left=1 given"), f"1 try: {UNSEEN}"),
        (
            (START[2], FAILED, START[1], "left=2 given", START[1], FAILED, START[0]),
            f"1 try: {FAILED[7:]}; 1 try: {UNHEARD}",
        ),
        ((), f"3 tries: {UNSEEN}"),
        ((START[2], FAILED, START[1], FAILED, START[0], FAILED), "3 tries: required check 'x' ended with status 1"),
        ((START[2], START[1], START[0]), f"3 tries: {UNHEARD}"),
        (
            (START[2], START[1], "reason=no sshd listens"),
            f"1 try: {UNHEARD}; 1 try: no sshd listens; 1 try: {UNSEEN}",
        ),
        ((START[0], "reason=no sshd listens"), f"2 tries: {UNSEEN}; 1 try: no sshd listens"),
        (("reason=no sshd listens",) * 3, "3 tries: no sshd listens"),
        (
            (START[2], FAILED, START[1], START[2], FAILED, START[1]),
            f"1 try: {FAILED[7:]}; 1 try: {UNHEARD}; 1 try: {UNSEEN}",
        ),
        ((START[2], FAILED, START[1], FAILED, START[0], FAILED, START[2]), f"1 try: {UNHEARD}; 2 tries: {UNSEEN}"),
    ],
    ids=[
        "given",
        "given and seen",
        "panic",
        "check",
        "late panic",
        "mixed",
        "last one",
        "unnoted",
        "tried anew",
        "tried anew after three",
    ],
)
def test_the_reason_of_a_trial(host: Host, lines: Sequence[str], reason: str) -> None:
    if lines:
        host.log(*lines)
    (told,) = host.run()
    assert (told.slot, told.run_id, told.event, told.reason) == ("b", RUN, "fell_back", reason)
    assert dict(host.now.slots) == {"a": "good", "b": "bad"}
    assert host.said.read_text().splitlines() == [f"mount -o remount,{mode} {host.dispatch}" for mode in ("rw", "ro")]
    # The next start finds nothing to do.
    assert host.run() == [told]


@pytest.mark.parametrize(("b", "tries"), [("trying", 2), ("good", 0), ("bad", 0), ("empty", 0)])
def test_nothing_fell_back(host: Host, b: str, tries: int) -> None:
    host.state(b, tries=tries)
    before = host.now
    assert host.run() == [] and host.now == before
    assert host.said.read_text() == ""


def test_the_slot_on_trial_does_not_judge_itself(host: Host) -> None:
    host.arguments("ro dualroot.slot=b dualroot.run=run-b dualroot.trial")
    assert host.run() == []
    assert host.now.state_of("b") == "trying"


def test_a_log_of_another_run_is_another_story(host: Host) -> None:
    host.log(START[2], FAILED, run="another")
    assert host.run()[0].reason == f"3 tries: {UNSEEN}"


@pytest.mark.parametrize(
    "arguments", ["dualroot.slot=a dualroot.after=b", "dualroot.mode=recovery dualroot.reason=slot-b-cannot-be-loaded"]
)
def test_a_slot_that_cannot_be_loaded(host: Host, arguments: str) -> None:
    host.arguments(arguments)
    host.state(tries=2)
    (told,) = host.run()
    assert told.reason.startswith("it cannot be loaded")
    assert host.now.state_of("b") == "bad"


def test_a_good_slot_that_cannot_be_loaded_is_told_once_and_kept(host: Host) -> None:
    host.arguments("dualroot.slot=a dualroot.after=b")
    host.state("good")
    for _time in range(2):
        (told,) = host.run()
    assert told.event == "fell_back" and told.reason.startswith("it is good and cannot be loaded")
    assert host.now.state_of("b") == "good"


def test_the_recovery_system_gives_up_the_only_slot(host: Host) -> None:
    host.arguments("dualroot.mode=recovery dualroot.reason=no_slot")
    host.state(a="empty")
    (told,) = host.run()
    assert told.event == "fell_back" and host.now.state_of("b") == "bad"


def test_what_the_kernel_kept_of_its_panic(host: Host) -> None:
    folder = host.root / "var/lib/systemd/pstore/1700000000"
    folder.mkdir(parents=True)
    os.utime(host.proc / "1", (1, 1))
    text = b"<6>[ 1.0] x\n<0>[    4.2] Kernel panic - not syncing: sysrq triggered crash\n<4> y\n"
    (folder / "dmesg-efi-1").write_bytes(text)
    reason = host.run()[0].reason
    assert reason == f"3 tries: {UNSEEN} (Kernel panic - not syncing: sysrq triggered crash)"


def test_the_program_is_sound(tmp_path: Path) -> None:
    (tmp_path / "outcome").write_text(outcome.TEXT)
    # Quotes for tr and sed on purpose; and what only the rest of dualroot-slot uses.
    subprocess.run(["shellcheck", "--exclude=SC1003,SC2016,SC2034", str(tmp_path / "outcome")], check=True)
