# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mounts, cpio archive, installation and running slots."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    cpio,
    install,
    mounts,
    recording,
    records,
    slot_state,
    slots,
    titles,
    uefi,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_state import SlotState
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slots import Wish
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.usage import Mount
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import TYPE_GUIDS, ResolvedLayout

from tests.boot.machine import RUN_ID, make_plan, resolved_layout
from tests.support.fake_runner import FakeRunner, failed

MOUNTINFO = """\
22 28 0:20 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
28 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
90 28 8:2 / /boot rw,relatime shared:40 - xfs /dev/sda2 rw
95 28 8:3 /@home /srv/with\\040space rw - btrfs /dev/sda3 rw
99 28 8:4 / /boot/dispatch ro,relatime - ext4 /dev/sda4 ro
99 28 8:4 / /boot/bound ro,relatime - ext4 /dev/sda4 rw
"""


@pytest.fixture
def system(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(MOUNTINFO)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/boot/dualroot/vmlinuz", "/boot"),
        ("/boot", "/boot"),
        ("/bootable", "/"),
        ("/srv/with space/x", "/srv/with space"),
    ],
)
def test_mount_of_a_path(system: Path, path: str, target: str) -> None:
    mount = mounts.find(Path(path), system)
    assert mount is not None and mount.target == target


@pytest.mark.parametrize(("path", "read_only"), [("/boot", False), ("/boot/dispatch", True), ("/boot/bound", True)])
def test_mount_read_only(system: Path, path: str, read_only: bool) -> None:
    mount = mounts.find(Path(path), system)
    assert mount is not None and mounts.is_read_only(mount) is read_only


def test_no_mount_is_known(tmp_path: Path) -> None:
    assert mounts.find(Path("/boot"), tmp_path) is None


def test_cpio_is_private_and_the_same_every_time() -> None:
    archive = cpio.pack({"etc/dualroot/plan.json": b"12345", "etc/dualroot/a": b""})
    assert archive == cpio.pack({"etc/dualroot/a": b"", "etc/dualroot/plan.json": b"12345"})
    assert len(archive) % 512 == 0
    fields = archive[6:110]
    assert archive[:6] == b"070701" and int(fields[8:16], 16) == 0o040755
    modes = [int(archive[at + 14 : at + 22], 16) for at in _entries(archive)]
    assert modes == [0o040755, 0o040700, 0o100600, 0o100600, 0]


@pytest.mark.parametrize("name", ["/etc/shadow", "../x", "a/../../b"])
def test_cpio_refuses_paths_that_lead_out(name: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        cpio.pack({name: b""})


def _entries(archive: bytes) -> list[int]:
    found, at = [], archive.find(b"070701")
    while at >= 0:
        found.append(at)
        at = archive.find(b"070701", at + 1)
    return found


class Stage:
    """A folder as stage two finds it in the phase ``boot``."""

    def __init__(self, folder: Path) -> None:
        self.dispatch, self.root = folder / "dispatch", folder / "root"
        self.environment, self.host_files = folder / "environment", folder / "host"
        self.disk, self.grub = folder / "disk.img", folder / "grub"
        for path in (self.dispatch, self.root / "boot", self.root / "etc", self.environment, self.host_files):
            path.mkdir(parents=True)
        (self.root / "boot/vmlinuz-6.1").write_bytes(b"k")
        (self.root / "boot/initrd.img-6.1").write_bytes(b"i")
        (self.root / "etc/os-release").write_text('ID=debian\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n')
        (self.environment / "vmlinuz").write_bytes(b"kernel")
        (self.environment / "initrd.img").write_bytes(b"initrd")
        (self.host_files / "plan.json").write_text("{}")
        (self.host_files / "capture.json").write_text('{"secret": 1}')
        with self.disk.open("wb") as file:
            file.truncate(8 << 20)
        self.runner = FakeRunner(handler=lambda argv, stdin: Path(argv[6]).write_bytes(b"core") and None)

    def install(self, plan: dict[str, Any] | None = None, layout: ResolvedLayout | None = None) -> None:
        install.install(
            self.runner,
            layout or resolved_layout(),
            str(self.disk),
            self.dispatch,
            self.root,
            plan or make_plan(),
            self.environment,
            host_files=self.host_files,
            grub_dir=self.grub,
        )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(install, "settle", lambda path: None)
    return Stage(tmp_path)


def test_install_makes_everything_but_the_switch(stage: Stage) -> None:
    stage.install()
    names = {str(path.relative_to(stage.dispatch)) for path in stage.dispatch.rglob("*") if path.is_file()}
    assert names == {
        *("grub/grub.cfg", "state", "state.copy", "titles", "slots/a.json", "layout.json"),
        *("recovery/vmlinuz", "recovery/initrd.img", "recovery/host.cpio"),
    }
    secret = stage.dispatch / "recovery/host.cpio"
    assert secret.stat().st_mode & 0o777 == 0o600 and b'"secret": 1' in secret.read_bytes()
    assert b"dr_title_a=gateway 1.2.0, Debian GNU/Linux 13 (trixie)\n" in (stage.dispatch / "titles").read_bytes()
    record = records.read_slots(stage.dispatch)["a"]
    assert (record.kind, record.version, record.run_id, record.layout) == ("bundle", "1.2.0", RUN_ID, "small")
    assert records.layout(stage.dispatch) == resolved_layout().to_document()
    # Until the last act the slot is bad and the boot sector is what it was.
    assert dict(slot_state.read(stage.dispatch).state.slots) == {"a": "bad", "b": "empty"}
    assert stage.disk.read_bytes()[:512] == bytes(512)
    assert stage.disk.read_bytes()[2048 * 512 :].startswith(b"core")
    assert "-p (,gpt2)/grub" in " ".join(stage.runner.calls[0])


def test_install_again_changes_nothing_but_the_generation(stage: Stage) -> None:
    stage.install()
    before = {path: path.read_bytes() for path in stage.dispatch.rglob("*") if path.is_file()}
    stage.install()
    after = {path: path.read_bytes() for path in stage.dispatch.rglob("*") if path.is_file()}
    # The time of the installation is still that of the first one.
    assert {path.name for path in after if before.get(path) != after[path]} == {"state", "state.copy"}


def test_slot_is_tried_three_times(stage: Stage) -> None:
    stage.install()
    state = install.mark_trying(stage.dispatch, "a")
    assert (state.state_of("a"), state.tries, state.order) == ("trying", 3, ("a", "b"))
    assert slot_state.read(stage.dispatch).state == state


def test_what_would_stop_the_installation_is_known_ahead(stage: Stage) -> None:
    def check(**change: Any) -> None:
        install.check(stage.runner, replace(resolved_layout(), **change), make_plan(), grub_dir=stage.grub)

    stage.grub.mkdir()
    with pytest.raises(FileNotFoundError):
        check()
    (stage.grub / "boot.img").write_bytes(bytes(512))
    check()
    with pytest.raises(Fault) as caught:
        check(sector_bytes=4096)
    assert caught.value.id == "boot.sector_size"
    stage.runner.handler = lambda argv, stdin: Path(argv[6]).write_bytes(bytes((2 << 20) + 1)) and None
    with pytest.raises(Fault) as caught:
        check()
    assert caught.value.id == "boot.core_too_large"
    assert stage.disk.read_bytes().count(0) == 8 << 20 and not list(stage.dispatch.iterdir())


def with_esp(*, bios: bool = True) -> ResolvedLayout:
    layout = resolved_layout()
    esp = replace(layout.partitions[0], id="esp", number=5, type_guid=TYPE_GUIDS["esp"])
    return replace(layout, partitions=(*layout.partitions[0 if bios else 1 :], esp))


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_a_disk_with_both_partitions_is_made_for_both_firmwares(
    stage: Stage, firmware: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(uefi, "install", lambda runner, node, resolved, plan: calls.append(node))
    stage.install(make_plan(firmware=firmware), with_esp())
    assert calls == [str(stage.disk)]
    assert stage.disk.read_bytes()[2048 * 512 :].startswith(b"core")


def test_a_uefi_host_needs_no_bios_boot_partition(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uefi, "install", lambda *_unused: None)
    stage.install(make_plan(firmware="uefi"), with_esp(bios=False))
    assert stage.runner.calls == []
    with pytest.raises(Fault) as caught:
        stage.install(make_plan(firmware="bios"), with_esp(bios=False))
    assert caught.value.id == "boot.no_bios_partition"


def test_a_missing_loader_is_known_ahead(stage: Stage) -> None:
    stage.grub.mkdir()
    (stage.grub / "boot.img").write_bytes(bytes(512))
    image = stage.grub / "grubx64.efi"
    with pytest.raises(Fault) as caught:
        install.check(stage.runner, with_esp(), make_plan(), grub_dir=stage.grub, uefi_image=image)
    assert caught.value.id == "boot.uefi_loader_missing"
    image.write_bytes(b"MZ")
    install.check(stage.runner, with_esp(), make_plan(), grub_dir=stage.grub, uefi_image=image)


def test_damaged_recovery_system_is_refused(stage: Stage) -> None:
    stage.install()
    (stage.environment / "initrd.img").write_bytes(b"flipped")
    plan = make_plan(environment={"kernel": {}, "initrd": {"sha256": "0" * 64}})
    with pytest.raises(Fault) as caught:
        stage.install(plan)
    assert caught.value.id == "boot.recovery_damaged"
    assert (stage.dispatch / "recovery/initrd.img").read_bytes() == b"initrd"
    assert not (stage.dispatch / "recovery/initrd.img.new").exists()


def test_titles_hold_nothing_that_grub_would_change(tmp_path: Path) -> None:
    record = records.SlotRecord("a", "old", "", "", "va", "run", "", title="CentOS Linux 7 (Core)")
    records.write_slot(tmp_path, record)
    records.write_slot(tmp_path, replace(record, slot="b", kind="bundle", name="new $(x)", title='"y" {z}' + "z" * 80))
    titles.write(tmp_path)
    block = (tmp_path / "titles").read_bytes()
    assert len(block) == 1024
    lines = block.decode().rstrip("#").splitlines()
    assert lines[1] == "dr_title_a=old system, CentOS Linux 7 (Core)"
    assert lines[2].startswith("dr_title_b=new (x), y zzzz") and len(lines[2]) == len("dr_title_b=") + 60


def test_a_system_without_a_name_is_linux(tmp_path: Path) -> None:
    assert titles.of_system(tmp_path) == "Linux"


@pytest.fixture
def dispatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dispatch file system, mounted read-only as far as the kernel tells."""
    mount = tmp_path / "dispatch"
    mount.mkdir()
    slot_state.write(mount, slot_state.mark_good(slot_state.initial(("a", "b")), "a"))
    found = Mount("8:4", str(mount), "ext4", "/dev/sda4", "ro,relatime", "/")
    monkeypatch.setattr(mounts, "find", lambda path: found)
    return mount


def remounts(mount: Path) -> list[tuple[str, ...]]:
    return [("mount", "-o", f"remount,{way}", str(mount)) for way in ("rw", "ro")]


def test_mark_writes_between_two_remounts(dispatch: Path) -> None:
    runner = FakeRunner(dict.fromkeys(remounts(dispatch)))
    before, after = slots.mark(runner, Wish("b", "trying"), dispatch)
    assert runner.calls == remounts(dispatch)
    assert before is not None and before.generation == 1
    assert after == SlotState(("b", "a"), {"a": "good", "b": "trying"}, 3, "", 2)
    assert slot_state.read(dispatch).state == after


def test_mark_that_changes_nothing_does_not_remount(dispatch: Path) -> None:
    runner = FakeRunner()
    before, after = slots.mark(runner, Wish("a", "good"), dispatch)
    assert before == after and runner.calls == []


def test_mark_dry(dispatch: Path) -> None:
    before, after = slots.mark(FakeRunner(), Wish(next="r"), dispatch, dry=True)
    assert (before != after, after.next) == (True, "r")
    assert slot_state.read(dispatch).state == before


def test_an_outcome_is_told_once_and_beside_the_change(dispatch: Path) -> None:
    records.write_slot(dispatch, records.SlotRecord("a", "bundle", "gateway", "1", "va", "run-1", ""))
    wish = Wish("a", "good", event="rolled_back", reason="asked for")
    before, after = slots.mark(FakeRunner(), wish, dispatch, dry=True)
    assert before != after and records.read_outcomes(dispatch) == []
    runner = FakeRunner(dict.fromkeys(remounts(dispatch)))
    before, after = slots.mark(runner, wish, dispatch)
    assert before != after and runner.calls == remounts(dispatch)
    before, after = slots.mark(FakeRunner(), wish, dispatch)
    assert before == after
    (told,) = records.read_outcomes(dispatch)
    assert (told.slot, told.run_id, told.event, told.reason) == ("a", "run-1", "rolled_back", "asked for")
    slots.mark(FakeRunner(dict.fromkeys(remounts(dispatch))), replace(wish, run_id="run-2"), dispatch)
    assert records.read_outcomes(dispatch)[1].run_id == "run-2"


def test_where_a_trial_begins_is_noted(dispatch: Path) -> None:
    records.write_slot(dispatch, records.SlotRecord("a", "bundle", "gateway", "1", "va", "run-1", ""))
    slots.mark(FakeRunner(dict.fromkeys(remounts(dispatch))), Wish("a", "trying", tries=2), dispatch)
    assert (dispatch / "runs/run-1/trial.log").read_text() == "uptime=0 slot=a left=2 given\n"


def test_telling_alone_makes_the_file_system_writable_only_where_it_must(dispatch: Path) -> None:
    runner = FakeRunner(dict.fromkeys(remounts(dispatch)))
    assert recording.tell(runner, dispatch, "b", "run-2", "fell_back", "no sshd listens")
    assert runner.calls == remounts(dispatch)
    assert not recording.tell(FakeRunner(), dispatch, "b", "run-2", "fell_back", "no sshd listens")
    assert [one.event for one in records.read_outcomes(dispatch)] == ["fell_back"]


def test_mark_mends_a_damaged_copy(dispatch: Path) -> None:
    (dispatch / "state").write_bytes(b"")
    slots.mark(FakeRunner(dict.fromkeys(remounts(dispatch))), Wish("a", "good"), dispatch)
    assert slot_state.read(dispatch).damaged == ()


def test_mark_restores_read_only_after_a_failed_write(dispatch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(mount: Path, state: SlotState) -> SlotState:
        raise Fault(slot_state.kinds.STATE_UNWRITABLE, path=mount, problem="broken")

    monkeypatch.setattr(slot_state, "write", broken)
    runner = FakeRunner(dict.fromkeys(remounts(dispatch)))
    with pytest.raises(Fault, match="state_unwritable"):
        slots.mark(runner, Wish("b", "trying"), dispatch)
    assert runner.calls == remounts(dispatch)


def test_mark_tells_when_read_only_cannot_be_restored(dispatch: Path) -> None:
    writable, read_only = remounts(dispatch)
    runner = FakeRunner({writable: None, read_only: failed(32, "mount point is busy")})
    with pytest.raises(Fault) as caught:
        slots.mark(runner, Wish("b", "trying"), dispatch)
    assert caught.value.id == "boot.remount" and "busy" in caught.value.what


@pytest.mark.parametrize("state", ["bad", "empty"])
def test_last_slot_is_kept(dispatch: Path, state: str) -> None:
    with pytest.raises(Fault) as caught:
        slots.mark(FakeRunner(), Wish("a", state), dispatch)
    assert caught.value.id == "boot.last_slot"
    slots.mark(FakeRunner(dict.fromkeys(remounts(dispatch))), Wish("a", state, force=True), dispatch)
    assert slot_state.read(dispatch).state.state_of("a") == state


def test_lost_state_is_begun_anew_only_on_demand(dispatch: Path) -> None:
    for name in slot_state.FILE_NAMES:
        (dispatch / name).write_bytes(b"")
    with pytest.raises(Fault, match="state_lost"):
        slots.mark(FakeRunner(), Wish("b", "good"), dispatch)
    runner = FakeRunner(dict.fromkeys(remounts(dispatch)))
    before, after = slots.mark(runner, Wish("b", "good", initialize=True), dispatch)
    assert before is None and dict(after.slots) == {"a": "empty", "b": "good"}


@pytest.mark.parametrize(
    ("arguments", "fell_back"),
    [
        ("quiet dualroot.slot=b dualroot.run=run-1", False),
        ("quiet dualroot.slot=a dualroot.run=run-0", True),
        ("dualroot.mode=recovery dualroot.run=run-1", True),
        ("quiet", False),
    ],
)
def test_information(dispatch: Path, tmp_path: Path, arguments: str, fell_back: bool) -> None:
    slots.mark(FakeRunner(dict.fromkeys(remounts(dispatch))), Wish("b", "trying"), dispatch)
    command_line = tmp_path / "cmdline"
    command_line.write_text(arguments + "\n")
    found = slots.information(dispatch, command_line)
    assert (found["fell_back"], found["boots_next"], found["tries"]) == (fell_back, "b", 3)
    assert found["copies"] == [{"name": "state", "damage": ""}, {"name": "state.copy", "damage": ""}]
    json.dumps(found)


def test_nothing_is_mounted(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        slots.information(tmp_path)
    assert caught.value.id == "boot.not_mounted"
