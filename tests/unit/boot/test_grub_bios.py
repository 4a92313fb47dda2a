# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Core image and boot sector: their patched fields, their place, and their one-sector switch."""

from __future__ import annotations

import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import grub_bios
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.boot.machine import resolved_layout
from tests.support.fake_runner import FakeRunner

LAYOUT = resolved_layout()
START = 2048
BOOT_IMAGE = bytes(range(256)) * 2


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with a protective MBR, foreign boot code and a disk signature."""
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(8 << 20)
        file.write(b"\xaa" * 440 + b"SIGN\0\0" + bytes([0, 0, 2, 0, 0xEE, 255, 255, 255]) + b"\1\0\0\0" * 2)
        file.seek(510)
        file.write(b"\x55\xaa")
    return image


@pytest.fixture
def grub_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "grub"
    folder.mkdir()
    (folder / "boot.img").write_bytes(BOOT_IMAGE)
    return folder


def sector(disk: Path, number: int) -> bytes:
    return disk.read_bytes()[number * 512 : number * 512 + 512]


def test_core_is_built_with_every_module_inside() -> None:
    runner = FakeRunner(handler=lambda argv, stdin: Path(argv[6]).write_bytes(b"core") and None)
    assert grub_bios.build_core(runner, Path("/grub"), "(,gpt2)/grub", "reboot\n") == b"core"
    ((*argv, _last),) = runner.calls
    output, config = argv[6], argv[10]
    assert argv == [
        *("grub-mkimage", "-O", "i386-pc", "-d", "/grub", "-o", output, "-p", "(,gpt2)/grub", "-c", config),
        *grub_bios.MODULES[:-1],
    ]
    assert {"biosdisk", "part_gpt", "ext2", "lvm", "diskfilter", "loadenv", "test", "linux"} <= set(grub_bios.MODULES)


def test_core_gets_its_block_list() -> None:
    placed = grub_bios.place_core(b"\1" * 1300, 2048)
    assert len(placed) == 1536
    assert struct.unpack_from("<QHH", placed, 0x1F4) == (2049, 2, 0x820)
    assert placed[1300:] == bytes(236)


def test_core_is_embedded_in_the_bios_boot_partition(disk: Path) -> None:
    before = disk.read_bytes()
    grub_bios.embed_core(str(disk), b"\7" * 70000, LAYOUT)
    after = disk.read_bytes()
    placed = grub_bios.place_core(b"\7" * 70000, START)
    assert after[START * 512 : START * 512 + len(placed)] == placed
    assert after[: START * 512] == before[: START * 512]
    assert after[START * 512 + len(placed) :] == before[START * 512 + len(placed) :]


def test_core_too_large(disk: Path) -> None:
    with pytest.raises(Fault) as caught:
        grub_bios.embed_core(str(disk), bytes((2 << 20) + 1), LAYOUT)
    assert caught.value.id == "boot.core_too_large"


def test_core_that_is_not_kept(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: len(data))
    with pytest.raises(Fault) as caught:
        grub_bios.embed_core(str(disk), b"\7" * 1000, LAYOUT)
    assert caught.value.id == "boot.write_failed"
    assert "sector 2048" in caught.value.what and "reads back different" in caught.value.what


def test_switch_changes_boot_code_only_in_one_write(
    disk: Path, grub_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grub_bios.embed_core(str(disk), b"\7" * 1000, LAYOUT)
    before = sector(disk, 0)
    writes = []
    real = os.pwrite

    def seen(handle: int, data: Any, offset: int) -> int:
        writes.append((len(data), offset))
        return real(handle, data, offset)

    monkeypatch.setattr(os, "pwrite", seen)
    grub_bios.switch_boot_sector(str(disk), LAYOUT, grub_dir)
    after = sector(disk, 0)
    assert writes == [(512, 0)]
    assert after[440:] == before[440:]
    assert struct.unpack_from("<Q", after, 0x5C) == (START,)
    assert after[0x66:0x68] == b"\x90\x90"
    kept = [range(0x5C), range(0x64, 0x66), range(0x68, 440)]
    assert all(after[place] == BOOT_IMAGE[place] for places in kept for place in places)
    grub_bios.switch_boot_sector(str(disk), LAYOUT, grub_dir)
    assert len(writes) == 1


def test_switch_refuses_a_disk_without_protective_mbr(disk: Path, grub_dir: Path) -> None:
    grub_bios.embed_core(str(disk), b"\7" * 1000, LAYOUT)
    with disk.open("r+b") as file:
        file.seek(450)
        file.write(b"\x83")
    before = sector(disk, 0)
    with pytest.raises(Fault) as caught:
        grub_bios.switch_boot_sector(str(disk), LAYOUT, grub_dir)
    assert caught.value.id == "boot.no_protective_mbr"
    assert sector(disk, 0) == before


def test_switch_refuses_where_no_core_is(disk: Path, grub_dir: Path) -> None:
    before = sector(disk, 0)
    with pytest.raises(Fault) as caught:
        grub_bios.switch_boot_sector(str(disk), LAYOUT, grub_dir)
    assert caught.value.id == "boot.no_core"
    assert sector(disk, 0) == before


def test_disk_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        grub_bios.read_through(str(tmp_path / "none"), 0, 512)
    assert caught.value.id == "boot.read_failed"
    with pytest.raises(Fault) as caught:
        grub_bios.write_through(str(tmp_path / "none"), 512, bytes(512))
    assert caught.value.id == "boot.write_failed"
    assert "sector 1 " in caught.value.what


@pytest.mark.parametrize(
    ("change", "fault_id"),
    [({"sector_bytes": 4096}, "boot.sector_size"), ({"partitions": LAYOUT.partitions[1:]}, "boot.no_bios_partition")],
)
def test_disk_that_bios_cannot_start(change: dict[str, Any], fault_id: str) -> None:
    with pytest.raises(Fault) as caught:
        grub_bios.bios_partition(replace(LAYOUT, **change))
    assert caught.value.id == fault_id
