# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Control of a UEFI host: who starts in which order of writes, and what stays of the old system."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import esp, lifeboat_entry, nvram, uefi, uefi_left
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import command
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept import Kept
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Lifeboat, Part
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandFailed

from tests.support import layouts
from tests.support.fake_runner import FakeRunner, failed
from tests.support.trees import Tree

GUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
PARTUUID = "117FB78B-1752-4435-8183-3190600910B6"
MIB = 1 << 20
RUN = "20250101T000000Z-abcdef"
PLAN = {"firmware": "uefi", "run_id": RUN, "kernel_arguments": ["console=ttyS0"]}
OLD = b"the old system's loader"
NEW = b"the new loader"
LAYOUT = resolve(
    load(layouts.document("dual")), DiskGeometry(8 << 30), RUN, Kept(1, MIB, 512 * MIB, PARTUUID, "8FDA-A740", "")
)


def lifeboat() -> Lifeboat:
    def part(name: str, start: int) -> Part:
        return Part(name, 5000, "", (Extent(start * MIB, 8192),))

    names = ("core", "kernel", "initrd", "host", "payload", "journal")
    return Lifeboat(RUN, "0" * 64, 8 << 30, 512, {name: part(name, 5000 + at) for at, name in enumerate(names)})


class Host:
    """A host with a firmware (files of efivarfs), an EFI system partition (a folder), and their tools."""

    def __init__(self, root: Path) -> None:
        self.root = root
        tree = Tree(root)
        tree.disk("vda")
        tree.partition("vda", 1, MIB, 512 * MIB)
        self.image = root / "grubx64.efi"
        self.image.write_bytes(NEW)
        self.esp = root / "esp"
        for name in ("debian/shimx64.efi", "debian/grub.cfg", "BOOT/BOOTX64.EFI", "BOOT/fbx64.efi"):
            (self.esp / "EFI" / name).parent.mkdir(parents=True, exist_ok=True)
            (self.esp / "EFI" / name).write_bytes(OLD)
        self.variables = root / nvram.DIRECTORY
        self.variables.mkdir(parents=True)
        self.add_entry("0001", "\\EFI\\debian\\shimx64.efi")
        self.set_order("0001", "0000")
        self.runner = FakeRunner(handler=self.handle)
        self.writes: list[str] = []
        self.is_checked = False

    def add_entry(self, number: str, loader: str) -> None:
        path = loader.encode("utf-16-le") + b"\0\0"
        drive = struct.pack("<BBHIQQ16sBB", 4, 1, 42, 1, 2048, 1048576, uuid.UUID(PARTUUID).bytes_le, 2, 2)
        nodes = drive + struct.pack("<BBH", 4, 4, 4 + len(path)) + path + b"\x7f\xff\x04\0"
        data = struct.pack("<IIH", 7, 1, len(nodes)) + "x\0".encode("utf-16-le") + nodes
        (self.variables / f"Boot{number}-{GUID}").write_bytes(data)

    def set_order(self, *numbers: str) -> None:
        words = b"".join(struct.pack("<H", int(number, 16)) for number in numbers)
        (self.variables / f"BootOrder-{GUID}").write_bytes(b"\x07\0\0\0" + words)

    def order(self) -> tuple[str, ...]:
        return nvram.order(self.root)

    def handle(self, argv: Sequence[str], _stdin: Any) -> None:
        folder = Path(argv[-1])
        if argv[0] == "mount":
            assert argv[:-1] == ("mount", "-t", "vfat", "-o", argv[4], "/dev/vda1")
            folder.rmdir()
            folder.symlink_to(self.esp)
            assert self.is_checked, "mounted unchecked"
            self.is_checked = False
        elif argv == ("fsck.fat", "-a", "/dev/vda1"):
            self.is_checked = True
        elif argv[0] == "umount":
            os.unlink(folder)  # not by Path: a test makes that fail
            folder.mkdir()
        elif argv[:3] == ("efibootmgr", "--quiet", "--create-only"):
            options = ("--disk", "/dev/vda", "--part", "1", "--label", "dualroot")
            assert argv[3:] == (*options, "--loader", "\\EFI\\dualroot\\grubx64.efi")
            self.add_entry("0009", argv[-1])
        elif argv[:3] == ("efibootmgr", "--quiet", "--bootorder"):
            self.writes.append(argv[3])
            self.set_order(*argv[3].split(","))
        elif argv == ("efibootmgr", "--quiet", "--bootnum", "0009", "--delete-bootnum"):
            (self.variables / f"Boot0009-{GUID}").unlink()
        else:
            raise AssertionError(argv)

    def call(self, name: str, *more: Any) -> None:
        arguments: dict[str, Any] = {} if name == "withdraw" else {"image": self.image}
        if name == "hand_over":
            arguments["grub_dir"] = self.root
        if name == "install":
            getattr(uefi, name)(self.runner, "/dev/vda", LAYOUT, PLAN, root=self.root, **arguments)
        else:
            getattr(uefi, name)(self.runner, "/dev/vda", LAYOUT, PLAN, *more, root=self.root, **arguments)

    def own(self, name: str) -> bytes:
        return (self.esp / esp.HOME / name).read_bytes()

    def loaders(self) -> set[str]:
        """Return what a firmware could start: loaders outside this project's folder that are not its own."""
        found = (path for path in self.esp.rglob("*") if path.suffix.lower() == ".efi" and path.read_bytes() == OLD)
        own = self.esp / esp.HOME
        return {str(path.relative_to(self.esp)) for path in found if own not in path.parents}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    switched: list[str] = []
    monkeypatch.setattr(uefi.grub_bios, "switch_boot_sector", lambda *_arguments: switched.append("LBA 0"))
    yield Host(tmp_path)


def test_prepared_the_old_system_still_starts(host: Host) -> None:
    before = host.order(), host.loaders()
    for _turn in range(2):
        host.call("prepare_lifeboat", lifeboat())
    assert (host.order(), host.loaders()) == before
    assert host.own("grubx64.efi") == NEW
    assert host.own("lifeboat.cfg").decode() == lifeboat_entry.config(PLAN, lifeboat(), "$dr_disk")
    assert host.own("switch.cfg") == esp.switch_content("lifeboat")
    assert [one.number for one in nvram.entries(host.root)] == ["0001", "0009"]


def test_control_is_taken_by_one_write_of_the_order(host: Host) -> None:
    host.call("prepare_lifeboat", lifeboat())
    for _turn in range(2):
        host.call("take_control", lifeboat())
    assert host.writes == ["0009,0001,0000"]
    assert host.order() == ("0009", "0001", "0000")


@pytest.mark.parametrize("name", ["grubx64.efi", "lifeboat.cfg"])
def test_control_is_not_taken_for_a_lifeboat_that_would_not_start(host: Host, name: str) -> None:
    host.call("prepare_lifeboat", lifeboat())
    (host.esp / esp.HOME / name).write_bytes(b"?")
    with pytest.raises(Fault) as raised:
        host.call("take_control", lifeboat())
    assert raised.value.kind.id == "boot.lifeboat_files"
    assert host.order() == ("0001", "0000")


def test_after_the_return_no_way_leads_to_the_old_system(host: Host) -> None:
    host.call("prepare_lifeboat", lifeboat())
    host.call("take_control", lifeboat())
    assert host.loaders()
    for _turn in range(2):
        host.call("settle_after_return")
    assert host.loaders() == set()
    assert (host.esp / "EFI/BOOT/BOOTX64.EFI").read_bytes() == NEW
    kept = {str(path.relative_to(host.esp / esp.HOME / "former")) for path in host.esp.rglob("former/**/*.*")}
    assert kept == {"BOOT/BOOTX64.EFI", "BOOT/fbx64.efi", "debian/shimx64.efi"}
    assert (host.esp / "EFI/debian/grub.cfg").read_bytes() == OLD


def test_a_full_partition_keeps_no_copy_but_no_way_back_either(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.call("prepare_lifeboat", lifeboat())
    real = esp.write_file

    def full(path: Path, content: bytes) -> None:
        if esp.FORMER in path.parts and content == OLD:
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(esp, "write_file", full)
    esp.put_aside_former_loaders(host.esp)
    assert host.loaders() == {"EFI/BOOT/BOOTX64.EFI"}
    assert not any(host.esp.rglob("former/**/*.new"))


@pytest.mark.parametrize("after", range(12))
def test_settling_goes_on_where_it_was_cut_off(host: Host, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    host.call("prepare_lifeboat", lifeboat())
    host.call("take_control", lifeboat())
    left = [after]

    def cut(real: Any) -> Any:
        def step(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return real(*arguments, **more)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(esp, "write_file", cut(esp.write_file))
        patch.setattr(esp, "sync_file_system", cut(esp.sync_file_system))
        patch.setattr(Path, "unlink", cut(Path.unlink))
        with contextlib.suppress(KeyboardInterrupt):
            host.call("settle_after_return")
    host.call("settle_after_return")
    assert host.loaders() == set()
    kept = {str(path.relative_to(host.esp / esp.HOME / "former")) for path in host.esp.rglob("former/**/*.*")}
    assert kept == {"BOOT/BOOTX64.EFI", "BOOT/fbx64.efi", "debian/shimx64.efi"}


def test_the_dispatcher_takes_over_by_one_sector(host: Host) -> None:
    host.call("prepare_lifeboat", lifeboat())
    host.call("take_control", lifeboat())
    host.call("settle_after_return")
    host.call("install")
    assert host.own("switch.cfg") == esp.switch_content("lifeboat")
    where = (host.esp / esp.HOME / "switch.cfg").stat().st_ino
    host.call("hand_over")
    assert host.own("switch.cfg") == esp.switch_content("dispatch")
    assert (host.esp / esp.HOME / "switch.cfg").stat().st_ino == where
    number = LAYOUT.partition("dispatch").number
    assert f"set root=$dr_disk,gpt{number}\n" in host.own("dispatch.cfg").decode()
    assert host.writes == ["0009,0001,0000"]


def test_without_a_lifeboat_all_is_done_at_the_end(host: Host) -> None:
    host.call("install")
    assert host.order() == ("0001", "0000") and host.loaders()
    host.call("hand_over")
    assert host.order() == ("0009", "0001", "0000")
    assert host.loaders() == set()
    assert host.own("switch.cfg") == esp.switch_content("dispatch")


def test_withdrawn_nothing_of_it_is_left(host: Host) -> None:
    host.call("prepare_lifeboat", lifeboat())
    host.call("withdraw")
    assert not (host.esp / esp.HOME).exists()
    assert [one.number for one in nvram.entries(host.root)] == ["0001"]
    host.call("withdraw")


def test_what_is_in_control_is_not_withdrawn(host: Host) -> None:
    host.call("prepare_lifeboat", lifeboat())
    host.call("take_control", lifeboat())
    host.call("withdraw")
    assert host.own("grubx64.efi") == NEW


@pytest.mark.parametrize("efibootmgr", [True, False])
def test_what_a_cut_before_control_leaves_is_taken_back(
    host: Host, monkeypatch: pytest.MonkeyPatch, efibootmgr: bool
) -> None:
    host.call("prepare_lifeboat", lifeboat())
    link = host.root / "dev/disk/by-partuuid" / PARTUUID.lower()
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to("../../vda1")
    (left,) = uefi_left.entries(host.root)
    if not efibootmgr:
        monkeypatch.setattr(nvram, "remove", missing)
    uefi_left.take_back(host.runner, left, host.root)
    assert not (host.esp / esp.HOME).exists() and uefi_left.entries(host.root) == []
    assert (host.order(), [one.number for one in nvram.entries(host.root)]) == (("0001", "0000"), ["0001"])


def missing(*_unused: Any) -> None:
    raise Fault(command.MISSING, program="efibootmgr")


def test_a_converted_host_leaves_nothing_that_could_be_taken_back(host: Host) -> None:
    host.call("install")
    host.call("hand_over")
    assert uefi_left.entries(host.root) == []


def test_a_switch_that_fails_half_is_put_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a host that was converted before, its entry is first already: the switch alone decides who starts."""
    host.call("install")
    host.call("hand_over")
    host.call("prepare_lifeboat", lifeboat())
    real, writes = esp.os.pwrite, []

    def half(handle: int, content: bytes, offset: int) -> int:
        writes.append(content)
        return real(handle, content[:100] if len(writes) == 1 else content, offset)

    monkeypatch.setattr(esp.os, "pwrite", half)
    with pytest.raises(Fault, match="reads back different"):
        host.call("take_control", lifeboat())
    assert len(writes) == 2
    assert host.own("switch.cfg") == esp.switch_content("dispatch")


def test_a_converted_host_keeps_its_dispatcher_until_control_is_taken(host: Host) -> None:
    host.call("install")
    host.call("hand_over")
    host.call("prepare_lifeboat", lifeboat())
    assert host.own("switch.cfg") == esp.switch_content("dispatch")
    host.call("take_control", lifeboat())
    assert host.own("switch.cfg") == esp.switch_content("lifeboat")


def test_a_converted_host_without_its_entry_keeps_its_dispatcher_too(host: Host) -> None:
    """Its firmware has lost the entries and starts the removable-media path, which reads the same switch."""
    host.call("install")
    host.call("hand_over")
    (host.variables / f"Boot0009-{GUID}").unlink()
    host.set_order("0001")
    host.call("prepare_lifeboat", lifeboat())
    assert host.own("switch.cfg") == esp.switch_content("dispatch")
    host.call("withdraw")
    assert host.own("switch.cfg") == esp.switch_content("dispatch")
    assert (host.esp / esp.REMOVABLE).read_bytes() == NEW


def test_who_is_in_control(host: Host) -> None:
    host.call("prepare_lifeboat", lifeboat())
    assert not uefi.in_control(LAYOUT, root=host.root)
    host.call("take_control", lifeboat())
    assert uefi.in_control(LAYOUT, root=host.root)


def test_who_starts_next_is_asked_of_firmware_and_partition(host: Host) -> None:
    def problem() -> str:
        try:
            host.call("require_control", lifeboat())
        except Fault as fault:
            return f"{fault.id}: {fault.what}"
        return ""

    host.call("prepare_lifeboat", lifeboat())
    assert "another entry is the first" in problem()
    host.call("take_control", lifeboat())
    before = host.writes[:]
    assert problem() == ""
    host.set_order("0001", "0009")
    assert "another entry is the first" in problem()
    host.set_order("0009", "0001")
    esp.set_switch(host.esp, "dispatch")
    assert problem().startswith("boot.lifeboat_files: ") and "switch.cfg" in problem()
    esp.set_switch(host.esp, "lifeboat")
    (host.esp / esp.HOME / "grubx64.efi").write_bytes(b"?")
    assert problem().startswith("boot.lifeboat_files: ") and "grubx64.efi" in problem()
    assert host.writes == before


def test_an_unmount_that_fails_deletes_nothing(tmp_path: Path) -> None:
    mounts: list[Path] = []

    def handle(argv: Sequence[str], _stdin: Any) -> Any:
        if argv[0] == "umount":
            return failed(32, "target is busy")
        if argv[0] == "fsck.fat":
            return None
        # What stands here in the folder is the partition's content.
        mounts.append(Path(argv[-1]))
        (mounts[0] / "BOOTX64.EFI").write_bytes(OLD)
        return None

    with pytest.raises(CommandFailed), esp.mounted(FakeRunner(handler=handle), "/dev/vda1"):
        pass
    assert (mounts[0] / "BOOTX64.EFI").read_bytes() == OLD
    shutil.rmtree(mounts[0])


def test_the_space_of_a_loader_is_given_back_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On FAT the name leads there until the entry of the new file is written."""
    path = tmp_path / "BOOTX64.EFI"
    path.write_bytes(OLD)
    real, flushed = os.fsync, []

    def fsync(handle: int) -> None:
        real(handle)
        links = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
        flushed.append((Path(os.readlink(f"/proc/self/fd/{handle}")).name, f"{path} (deleted)" in links))

    monkeypatch.setattr(os, "fsync", fsync)
    esp.write(path, NEW)
    assert path.read_bytes() == NEW
    assert flushed[0] == ("BOOTX64.EFI.new", False)
    assert flushed[-2:] == [("BOOTX64.EFI", True), (tmp_path.name, True)]


@pytest.mark.parametrize("status", [0, 1])
def test_what_a_check_salvaged_is_removed(host: Host, status: int) -> None:
    """Halves of files that a cut left; without a cut they are somebody's own."""
    for name in ("FSCK0000.REC", "FSCK0001.REC", "FSCKNOTE.REC"):
        (host.esp / name).write_bytes(OLD)

    def handle(argv: Sequence[str], stdin: Any) -> Any:
        host.handle(argv, stdin)
        return failed(status) if argv[0] == "fsck.fat" and status else None

    with esp.mounted(FakeRunner(handler=handle), "/dev/vda1") as mount:
        left = sorted(path.name for path in mount.glob("FSCK*"))
    assert left == (["FSCKNOTE.REC"] if status else ["FSCK0000.REC", "FSCK0001.REC", "FSCKNOTE.REC"])


@pytest.mark.parametrize("broken", ["--create-only", "--bootorder"])
def test_a_firmware_that_refuses(host: Host, broken: str) -> None:
    def handle(argv: Sequence[str], stdin: Any) -> Any:
        if broken in argv:
            return failed(8, "Could not prepare Boot variable: No space left on device")
        return host.handle(argv, stdin)

    host.runner = FakeRunner(handler=handle)
    with pytest.raises(Fault) as raised:
        host.call("prepare_lifeboat", lifeboat())
        host.call("take_control", lifeboat())
    assert raised.value.kind.id == "boot.nvram_unwritable"
    assert "No space left" in raised.value.what
    assert host.order() == ("0001", "0000")


def test_a_firmware_that_only_says_yes(host: Host) -> None:
    host.set_order = lambda *_numbers: None  # type: ignore[method-assign]
    host.call("prepare_lifeboat", lifeboat())
    with pytest.raises(Fault) as raised:
        host.call("take_control", lifeboat())
    assert raised.value.kind.id == "boot.nvram_unwritable"


def test_what_reads_back_decides(host: Host) -> None:
    """A tool that fails after its write, and a firmware that drops an entry: control is taken."""

    def handle(argv: Sequence[str], stdin: Any) -> Any:
        if "--bootorder" in argv:
            host.set_order("0009", "0001")
            return failed(5, "interrupted")
        return host.handle(argv, stdin)

    host.call("prepare_lifeboat", lifeboat())
    host.runner = FakeRunner(handler=handle)
    host.call("take_control", lifeboat())
    assert host.order() == ("0009", "0001")


def test_a_partition_at_another_place_is_not_written_to(host: Host) -> None:
    (host.root / "sys/block/vda/vda1/start").write_text("4096\n")
    with pytest.raises(Fault) as raised:
        host.call("prepare_lifeboat", lifeboat())
    assert raised.value.kind.id == "boot.esp_missing"
    assert not (host.esp / esp.HOME).exists()


def test_an_environment_without_the_loader(host: Host) -> None:
    host.image.unlink()
    with pytest.raises(Fault) as raised:
        host.call("prepare_lifeboat", lifeboat())
    assert raised.value.kind.id == "boot.uefi_loader_missing"
    assert host.runner.calls == []


def test_a_switch_is_one_sector() -> None:
    assert [len(esp.switch_content(target)) for target in esp.TARGETS] == [512, 512]
