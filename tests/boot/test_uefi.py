# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dispatcher and the lifeboat as a UEFI firmware starts them; the same disk starts under BIOS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import esp, uefi

from tests.lab import firmware

from . import lifeboat
from .machine import MIB, RUN_ID, copy_disk, make_plan
from .uefi_machine import ESP_BYTES, ESP_START, MODULES, UefiDisk

#: Behind the last partition; some MiB are left there.
LIFEBOAT_START = ESP_START + ESP_BYTES


@pytest.fixture(scope="module")
def prepared_uefi(tmp_path_factory: pytest.TempPathFactory) -> UefiDisk:
    if not firmware.CODE.exists() or not MODULES.is_dir() or shutil.which("mcopy") is None:
        pytest.skip("needs ovmf, grub-efi-amd64-bin and mtools")
    disk = UefiDisk(tmp_path_factory.mktemp("uefi"))
    disk.prepare()
    return disk


@pytest.fixture
def uefi_disk(prepared_uefi: UefiDisk, tmp_path: Path) -> UefiDisk:
    copy_disk(prepared_uefi, tmp_path / "disk")
    return UefiDisk(tmp_path / "disk")


def test_trial_and_fallback_and_the_state_is_written(uefi_disk: UefiDisk) -> None:
    uefi_disk.set_state(order="b a", a="good", b="trying", tries="1")
    boots = [uefi_disk.boot_uefi() for _turn in range(2)]
    assert [(boot.choice, boot.started) for boot in boots] == [("b trying-0-left", "b"), ("a good", "a")]
    assert uefi_disk.state().tries == 0
    # What a slot on trial gets beside is the dispatcher's own test; this is the line of a good one.
    assert boots[1].kernel == (
        "BOOT_IMAGE=(lvm/VA-root)/boot/vmlinuz-6.1.0-1a root=/dev/VA/root ro"
        " gpt panic=30 rd.shell=0 rd.emergency=reboot"
        f" rd.lvm.lv=VA/root dualroot.slot=a dualroot.run={RUN_ID} console=tty0 console=ttyS0,115200"
    )


def test_the_same_disk_under_bios(uefi_disk: UefiDisk) -> None:
    uefi_disk.set_state(a="bad")
    boots = [uefi_disk.boot(), uefi_disk.boot_uefi()]
    assert [(boot.choice, boot.started) for boot in boots] == [("r no-bootable-slot", "r")] * 2


def test_an_unwritable_state_boots_no_untested_slot(uefi_disk: UefiDisk) -> None:
    uefi_disk.set_state(order="b a", b="trying", tries="3")
    boot = uefi_disk.boot_uefi(read_only=True)
    assert (boot.choice, boot.started) == ("a good", "a")


@pytest.mark.parametrize("bus", ["virtio-blk-pci", "nvme", "ide-hd"])
def test_the_lifeboat_starts_from_its_blocks_alone(uefi_disk: UefiDisk, bus: str) -> None:
    content = lifeboat.content()
    found = lifeboat.stow(uefi_disk.image, content, LIFEBOAT_START)
    esp.write(uefi_disk.esp / esp.HOME / "lifeboat.cfg", uefi.lifeboat_config(make_plan(), found))
    esp.set_switch(uefi_disk.esp, "lifeboat")
    uefi_disk.make_esp()
    # The new system is half written: nothing but the EFI system partition can be read.
    start = uefi_disk.layout.partition("dispatch").start_lba * 512
    uefi_disk.write(start, bytes(ESP_START - start))
    boot = uefi_disk.boot_uefi(bus=bus)
    assert boot.kernel.endswith(
        f"dualroot.mode=convert dualroot.run={RUN_ID} dualroot.resume=1 gpt panic=30 console=tty0 console=ttyS0,115200"
    )
    assert boot.initrd == content.spoken.strip()


@pytest.mark.parametrize("damage", [b"", b"\0" * 512, b"x" * 511 + b"\n"])
def test_a_switch_that_cannot_be_read_leaves_the_dispatcher(uefi_disk: UefiDisk, damage: bytes) -> None:
    path = uefi_disk.esp / esp.HOME / esp.SWITCH
    if damage:
        path.write_bytes(damage)
    else:
        path.unlink()
    uefi_disk.make_esp()
    uefi_disk.set_state()
    assert uefi_disk.boot_uefi().choice == "a good"


def test_nothing_to_start_is_tried_again_and_never_prompts(uefi_disk: UefiDisk) -> None:
    shutil.rmtree(uefi_disk.esp / esp.HOME)
    uefi_disk.make_esp()
    # The boot ends by a reset (QEMU exits), or else it runs into its time limit.
    assert "nothing to start on" in uefi_disk.boot_uefi().text


def test_the_layout_has_room_behind_it(uefi_disk: UefiDisk) -> None:
    assert uefi_disk.image.stat().st_size - LIFEBOAT_START > 2 * MIB
