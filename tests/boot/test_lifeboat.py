# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lifeboat starts from any place of a disk without table and file system, whatever the disk hangs on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import control, lifeboat_entry
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Lifeboat
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from . import boot_sectors, lifeboat
from .lifeboat import boot
from .machine import make_plan, resolved_layout

#: Past what 32 bits of bytes reach, and past what an old BIOS call (CHS, 8 GiB) does.
SIZE = 12 << 30
START = 9 << 30
PLAN = make_plan()
RECORD = bytes(440) + b"SIGN\0\0" + bytes(64) + b"\x55\xaa"


def make_disk(folder: Path, pieces: int = 3, start: int = START) -> tuple[Path, Lifeboat]:
    """Return an image with an old system and a lifeboat beside it that has no control yet."""
    image = folder / "lifeboat.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
        file.write(boot_sectors.old_system(RECORD))
    placed = lifeboat.stow(image, lifeboat.content(pieces), start, pieces=pieces)
    control.prepare_lifeboat(CommandRunner(), str(image), resolved_layout(), PLAN, placed)
    return image, placed


def take_control(image: Path, placed: Lifeboat) -> None:
    control.take_control(CommandRunner(), str(image), resolved_layout(), PLAN, placed)


def require_lifeboat(text: str, spoken: str) -> None:
    found = re.search(r"KERNEL (.*?)\s*INITRD (.*?)\s*END", text, re.DOTALL)
    assert found, text
    words = found[1].split()
    assert words[0].startswith("BOOT_IMAGE=(hd")
    assert words[1:] == list(lifeboat_entry.arguments(PLAN))
    assert found[2].split() == spoken.split()


def test_one_sector_decides(bios: None, tmp_path: Path) -> None:
    """Prepared, the old system starts; after the one write, the lifeboat; both from the same image."""
    image, placed = make_disk(tmp_path)
    with image.open("rb") as file:
        before = file.read(1 << 20)
    assert boot_sectors.OLD_SYSTEM in boot({image: "virtio"}).text
    take_control(image, placed)
    with image.open("rb") as file:
        after = file.read(1 << 20)
    assert after[440:] == before[440:] and after[:440] != before[:440]
    require_lifeboat(boot({image: "virtio"}).text, lifeboat.content().spoken)


@pytest.mark.parametrize("hardware", ["IDE", "SATA", "SCSI"])
def test_other_hardware(bios: None, tmp_path: Path, hardware: str) -> None:
    image, placed = make_disk(tmp_path)
    take_control(image, placed)
    require_lifeboat(boot({image: hardware}).text, lifeboat.content().spoken)


def test_as_the_second_disk(bios: None, tmp_path: Path) -> None:
    """A boot manager on the first disk starts ours as the BIOS's second: the names of disks do not matter."""
    first = tmp_path / "first.img"
    first.write_bytes(boot_sectors.second_disk().ljust(1 << 20, b"\0"))
    image, placed = make_disk(tmp_path)
    take_control(image, placed)
    require_lifeboat(boot({first: "IDE", image: "virtio"}).text, lifeboat.content().spoken)


def test_many_pieces(bios: None, tmp_path: Path) -> None:
    """A hundred pieces of initramfs, in the wrong order on the disk: GRUB joins them without a gap."""
    image, placed = make_disk(tmp_path, pieces=100)
    assert len(placed.part("initrd").extents) == 100
    take_control(image, placed)
    require_lifeboat(boot({image: "virtio"}).text, lifeboat.content(100).spoken)


def test_what_cannot_be_loaded_is_tried_again(bios: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged kernel: GRUB says so, waits and restarts the machine; it stops at no prompt."""
    real = lifeboat_entry.config
    monkeypatch.setattr(lifeboat_entry, "config", lambda plan, placed: real(plan, placed, pause=1))
    image, placed = make_disk(tmp_path)
    take_control(image, placed)
    with image.open("r+b") as file:
        file.seek(placed.part("kernel").extents[0].start)
        file.write(bytes(4096))
    found = boot({image: "virtio"})
    assert "KERNEL" not in found.text
    assert "the lifeboat cannot be loaded; next try in 1 s" in found.text
