# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Shared by the boot tests: a disk that is prepared once and copied for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .machine import Disk, copy_disk

PROGRAMS = ("qemu-system-x86_64", "grub-mkimage", "sgdisk", "mke2fs", "debugfs")


@pytest.fixture(scope="session")
def bios() -> None:
    """The programs of every test here."""
    missing = [name for name in PROGRAMS if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def prepared(bios: None, tmp_path_factory: pytest.TempPathFactory) -> Disk:
    disk = Disk(tmp_path_factory.mktemp("prepared"))
    disk.prepare()
    return disk


@pytest.fixture
def disk(prepared: Disk, tmp_path: Path) -> Disk:
    return copy_disk(prepared, tmp_path / "disk")
