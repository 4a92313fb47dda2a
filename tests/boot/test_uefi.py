# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dispatcher and the lifeboat as a UEFI firmware starts them; the same disk starts under BIOS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab import firmware

from .machine import copy_disk
from .uefi_machine import MODULES, UefiDisk


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
    boots = [uefi_disk.boot_uefi() for _ in range(2)]
    assert [(boot.choice, boot.started) for boot in boots] == [("b trying-0-left", "b"), ("a good", "a")]
    assert uefi_disk.state().tries == 0
