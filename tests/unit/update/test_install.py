# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order of an update: what state the slot has at each step, and after each failure."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive import restore
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records, slot_state, slots
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document as plans
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import Result
from ansible_collections.dualroot.migrate.plugins.module_utils.update import configure, content, install, target
from ansible_collections.dualroot.migrate.plugins.module_utils.update.progress import Progress

from tests.support.fake_runner import FakeRunner, failed
from tests.support.layouts import RUN_ID
from tests.unit.update import scene

CAPTURE = {**scene.CAPTURE, "version": 1, "findings": [], "network": {"interfaces": []}}


class Bench:
    """A dispatch folder, a plan, and a slot in a folder; ``log`` tells what was done in which state."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.dispatch, self.mount = folder, folder / "dispatch", folder / "new"
        for path in (folder / "proc/self", self.dispatch, self.mount, folder / "lock"):
            path.mkdir(parents=True)
        (folder / "proc/cmdline").write_text(f"dualroot.slot=a dualroot.run={RUN_ID}\n")
        (folder / "proc/self/mountinfo").write_text("")
        (folder / "rootfs.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(600))
        slot_state.write(self.dispatch, scene.state(b="good", next="b"))
        records.write_slot(self.dispatch, scene.record("b", run_id="before"))
        self.plan = scene.judged()["plan"]
        self.log: list[tuple[str, str]] = []
        self.fails = ""
        self.runner = FakeRunner(handler=self.command)
        self.target = target.Target("b", "/dev/VB/root", target.of_layout(scene.host().layout, "b").system, self.mount)  # type: ignore[arg-type]
        monkeypatch.setattr(slots, "check_mounted", lambda mount: None)
        monkeypatch.setattr(plans, "check_expiry", lambda plan, now: None)
        monkeypatch.setattr(slots, "writable", self.writable)
        monkeypatch.setattr(install.captures, "read", lambda root, runner, options: self.step("capture") or CAPTURE)
        monkeypatch.setattr(install.captures, "check", lambda capture, path: capture)
        monkeypatch.setattr(install.network, "render_problems", lambda network, renderer: [])
        monkeypatch.setattr(install.restore, "restore", self.restore)
        monkeypatch.setattr(configure, "apply", lambda *rest: self.step("configure"))
        monkeypatch.setattr(configure, "on_dispatch", lambda *rest: self.step("on_dispatch"))
        monkeypatch.setattr(target, "sync_file_system", lambda path: self.step("sync"))
        monkeypatch.setattr(target, "sync_device", lambda path: None)

    def state(self) -> str:
        return slot_state.read(self.dispatch).state.state_of("b")

    def step(self, name: str) -> None:
        self.log.append((name, self.state()))
        if name == self.fails:
            raise Fault(install.kinds.CARRY_FAILED, path=name, problem="planned")

    def command(self, argv: Any, _stdin: bytes | None) -> Any:
        self.step(argv[0])
        return Result(tuple(argv), 0)

    @contextlib.contextmanager
    def writable(self, runner: Any, mount: Path) -> Iterator[None]:
        yield

    def restore(self, runner: Any, order: Any, progress: Any, digests: Any) -> restore.Restored:
        self.step("restore")
        (order.target / "etc").mkdir()
        (order.target / "etc/os-release").write_text("PRETTY_NAME=New\n")
        progress(5, 10)
        return restore.Restored(True, order.sha256, 10, 20, 2, 0.1, ("a note",))

    def install(self, **changes: Any) -> install.Installed:
        order = install.Order(self.plan, changes.pop("source", self.root / "rootfs.tar.zst"), **changes)
        progress = Progress(self.plan["run_id"], self.root / "run/update.json")
        return install.install(
            self.runner,
            order,
            progress,
            dispatch=self.dispatch,
            root=self.root,
            at=self.target,
            lock=self.root / "lock/update",
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


def test_the_slot_is_bad_from_its_first_write_to_its_last_check(bench: Bench) -> None:
    done = bench.install()
    names = [name for name, _state in bench.log]
    assert names == [
        "capture",
        "wipefs",
        "mkfs.ext4",
        "udevadm",
        "mount",
        "restore",
        "configure",
        "on_dispatch",
        "sync",
        "blockdev",
        "mount",
    ]
    assert [state for _name, state in bench.log] == ["good"] + ["bad"] * 10
    state = slot_state.read(bench.dispatch).state
    # The other slot is as it was, and a wish to boot the old content once is forgotten.
    assert (state.slots, state.tries, state.order, state.next) == ({"a": "good", "b": "trying"}, 3, ("b", "a"), "")
    assert (done.changed, done.state, done.bytes, done.notes) == (True, "trying", 10, ("a note",))
    assert [one["name"] for one in done.phases] == ["prepare", "restore", "configure", "check", "mark"]
    assert done.content_sha256 == content.read(bench.mount).sha256
    assert done.peak_ram_bytes > 0


def test_every_command(bench: Bench) -> None:
    bench.install()
    options, at = "nodev,nosuid,noatime", str(bench.mount)
    make = [one for one in bench.runner.calls if one[0] == "mkfs.ext4"]
    assert make[0][-1] == "/dev/VB/root" and bench.target.system.uuid in make[0]
    assert [one for one in bench.runner.calls if one[0] != "mkfs.ext4"] == [
        ("wipefs", "--all", "--force", "/dev/VB/root"),
        ("udevadm", "settle", "--timeout=30"),
        ("mount", "-t", "ext4", "-o", options, "/dev/VB/root", at),
        ("blockdev", "--flushbufs", "/dev/VB/root"),
        ("mount", "-t", "ext4", "-o", f"ro,noexec,{options}", "/dev/VB/root", at),
    ]


def test_records_say_what_the_slot_holds(bench: Bench) -> None:
    done = bench.install()
    record = records.read_slots(bench.dispatch)["b"]
    assert (record.name, record.version, record.run_id) == ("gateway", "13.1", scene.NEW_RUN)
    assert (record.content_sha256, record.payload_sha256, record.title) == (done.content_sha256, "d" * 64, "New")
    told = records.read_outcomes(bench.dispatch)[-1]
    assert (told.slot, told.event, told.reason) == ("b", "installed", "update from gateway 13.0 to gateway 13.1")
    assert records.layout(bench.dispatch) == bench.plan["layout"]
    # Nothing of slot a.
    assert "a" not in records.read_slots(bench.dispatch)


@pytest.mark.parametrize(
    "step", ["wipefs", "mkfs.ext4", "mount", "restore", "configure", "on_dispatch", "sync", "blockdev"]
)
def test_whatever_fails_leaves_a_bad_slot_without_a_record(bench: Bench, step: str) -> None:
    bench.fails = step
    with pytest.raises(Fault, match="carry_failed"):
        bench.install()
    assert bench.log[-1][0] == step
    state = slot_state.read(bench.dispatch).state
    assert (state.slots, state.choice()) == ({"a": "good", "b": "bad"}, "a")
    assert records.read_slots(bench.dispatch) == {}


def test_a_capture_that_is_refused_costs_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = {"id": "capture.x", "phase": "capture", "what": "{w}", "why": "y", "how": "h", "severity": "refuse"}
    monkeypatch.setattr(install.network, "render_problems", lambda network, renderer: [refusal])
    with pytest.raises(Fault, match="capture.x"):
        bench.install()
    assert (bench.state(), list(records.read_slots(bench.dispatch))) == ("good", ["b"])


def test_another_machine_is_refused_before_the_first_write(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install.captures, "read", lambda *rest: {**CAPTURE, "hostname": "other"})
    with pytest.raises(Fault, match="proof.host_other"):
        bench.install()
    assert bench.state() == "good"


def test_a_payload_that_cannot_be_had_is_told_before_the_first_write(bench: Bench) -> None:
    with pytest.raises(Fault, match="archive.not_there"):
        bench.install(source=bench.root / "missing")
    assert bench.state() == "good"


def test_a_slot_in_use_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "users", lambda goal, root: ["/dev/dm-3 mounted at /mnt"])
    with pytest.raises(Fault, match="update.target_busy"):
        bench.install()
    assert bench.state() == "good"


@pytest.mark.parametrize(
    ("line", "states", "fault"),
    [
        ("dualroot.slot=b dualroot.run=x", ("good", "good"), "update.plan_outdated"),
        ("dualroot.slot=a dualroot.run=x", ("good", "good"), "update.plan_outdated"),
        (f"dualroot.slot=a dualroot.run={RUN_ID}", ("trying", "good"), "update.running_not_good"),
    ],
)
def test_a_plan_that_no_longer_fits(bench: Bench, line: str, states: tuple[str, str], fault: str) -> None:
    (bench.root / "proc/cmdline").write_text(line)
    slot_state.write(bench.dispatch, scene.state(*states))
    with pytest.raises(Fault, match=fault):
        bench.install()
    assert bench.log == []


@pytest.mark.parametrize("state", ["trying", "good"])
def test_what_this_plan_has_installed_is_not_installed_again(bench: Bench, state: str) -> None:
    bench.install()
    if state == "good":
        slot_state.write(bench.dispatch, scene.state(b="good"))
    before = len(bench.log)
    done = bench.install()
    assert (done.changed, done.state, len(bench.log)) == (False, state, before)


def test_what_this_plan_has_installed_and_failed_is_installed_again(bench: Bench) -> None:
    bench.install()
    slot_state.write(bench.dispatch, scene.state(b="bad"))
    (bench.mount / "etc/os-release").unlink()
    (bench.mount / "etc").rmdir()
    assert bench.install().changed


def test_a_disk_that_lies_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def turn_a_bit(path: Path) -> None:
        content_of = bench.mount / "etc/os-release"
        content_of.write_bytes(content_of.read_bytes().replace(b"New", b"Nev"))

    monkeypatch.setattr(target, "sync_device", turn_a_bit)
    with pytest.raises(Fault) as caught:
        bench.install()
    assert caught.value.id == "update.content_differs"
    assert "etc/os-release" in caught.value.what
    assert (bench.state(), records.read_slots(bench.dispatch)) == ("bad", {})


def test_a_disk_that_reports_an_error_is_found_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(target, "sync_device", fail)
    with pytest.raises(Fault, match="archive.not_durable"):
        bench.install()
    assert bench.state() == "bad"


def test_two_updates_at_once(bench: Bench) -> None:
    with install.locked(bench.root / "lock/update"), pytest.raises(Fault) as caught:
        bench.install()
    assert caught.value.id == "update.running" and str(os.getpid()) in caught.value.record()["why"]
    assert bench.log == []


def test_the_status_file_tells_how_far_it_is(bench: Bench) -> None:
    bench.install()
    path = bench.root / "run/update.json"
    assert path.stat().st_mode & 0o777 == 0o644
    assert b'"phase": "mark"' in path.read_bytes()


def test_leftovers_of_a_cut_are_unmounted_first(bench: Bench) -> None:
    line = f"90 28 253:3 / {bench.mount} rw,relatime - ext4 /dev/mapper/VB-root rw\n"
    (bench.root / "proc/self/mountinfo").write_text(line)

    def command(argv: Any, stdin: bytes | None) -> Any:
        if argv[0] == "umount":
            (bench.root / "proc/self/mountinfo").write_text("")
            return None
        return bench.command(argv, stdin)

    bench.runner.handler = command
    bench.install()
    assert ("umount", str(bench.mount)) in bench.runner.calls


def test_unmounting_that_fails_hides_no_fault(bench: Bench) -> None:
    bench.fails = "restore"
    line = f"90 28 253:3 / {bench.mount} rw,relatime - ext4 /dev/mapper/VB-root rw\n"

    def command(argv: Any, stdin: bytes | None) -> Any:
        if argv[0] == "umount":
            return failed(32, "target is busy")(argv, stdin)
        if argv[0] == "mount":
            (bench.root / "proc/self/mountinfo").write_text(line)
        return bench.command(argv, stdin)

    bench.runner.handler = command
    with pytest.raises(Fault, match="carry_failed"):
        bench.install()
