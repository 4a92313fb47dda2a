# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The switch of a table as real firmware and a real GRUB read it: the old table or the new one at every cut.

The old table has the dispatcher's partition and the EFI system partition, the new one the slots too: what
the dispatcher starts tells which of them was read. Under UEFI even the loader is found by the table.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import readings, switch, table
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.gpt import Gpt
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.lab import firmware

from .machine import SECTOR, Disk, copy_disk
from .uefi_machine import MODULES, UefiDisk

SOAK = bool(os.environ.get("DUALROOT_SOAK"))
#: Parts of the two writes of entries, beside the prefixes.
RANDOM_PARTS = 12 if SOAK else 1
#: New entries without header; header without backup; header with half a backup. OVMF takes its time to start.
UEFI_PREFIXES = (1, 2, 3)


class Switch:
    """A disk with the old table, its image, and the writes that make the new one."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        disk.set_state(a="good")
        self.new = table.target(disk.layout, "convert")
        kept = tuple(one for one in self.new.entries if one.name in ("dispatch", "esp"))
        self.old = Gpt("99999999-9999-4999-8999-999999999999", kept)
        for wanted in (self.new, self.old):
            switch.perform(disk.image, self.writes(wanted), SECTOR)
        self.before = disk.image.read_bytes()
        self.planned = self.writes(self.new)

    def writes(self, wanted: Gpt) -> tuple[switch.Write, ...]:
        data = self.disk.image.read_bytes()
        return switch.writes(
            "disk",
            lambda lba, count: data[lba * SECTOR : (lba + count) * SECTOR],
            wanted,
            len(data) // SECTOR,
            SECTOR,
            replace_record=True,
        )

    def states(self, parts: int) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
        """Yield what is on the disk, with the slot that must start."""
        seeded = random.Random(5)
        done: list[tuple[int, bytes]] = []
        for write in self.planned:
            yield self.slot(done), done
            sectors = range(len(write.data) // SECTOR)
            for _turn in range(parts if len(sectors) > 1 else 0):
                kept = [one for one in sectors if seeded.random() < 0.5]
                pieces = [(write.lba + one, write.data[one * SECTOR : (one + 1) * SECTOR]) for one in kept]
                yield self.slot(done), [*done, *pieces]
            done = [*done, (write.lba, write.data)]
        yield self.slot(done), done

    def slot(self, done: list[tuple[int, bytes]]) -> str:
        return "a" if any(lba == 1 for lba, _data in done) else "r"

    def put(self, writes: list[tuple[int, bytes]]) -> None:
        self.disk.image.write_bytes(self.before)
        for lba, data in writes:
            self.disk.write(lba * SECTOR, data)

    def linux(self) -> readings.Reading:
        data = self.disk.image.read_bytes()
        return readings.linux(
            lambda lba, count: data[lba * SECTOR : (lba + count) * SECTOR], len(data) // SECTOR, SECTOR
        )


def test_under_bios(prepared: Disk, tmp_path: Path) -> None:
    change = Switch(copy_disk(prepared, tmp_path / "disk"))
    # The old entries are at the first place, the new ones at the second: GRUB reads both.
    assert [write.lba for write in change.planned][:2] == [34, 1]
    for slot, writes in change.states(RANDOM_PARTS):
        change.put(writes)
        assert change.disk.boot().started == slot, [lba for lba, _data in writes]


def test_under_uefi(tmp_path: Path) -> None:
    """The loader is found at every cut, and what the firmware mends by itself spoils nothing."""
    if not firmware.CODE.exists() or not MODULES.is_dir() or shutil.which("mcopy") is None:
        pytest.skip("needs ovmf, grub-efi-amd64-bin and mtools")
    disk = UefiDisk(tmp_path / "disk")
    disk.folder.mkdir()
    disk.prepare()
    change = Switch(disk)
    meant = {"r": readings.of_table(change.old.entries), "a": readings.of_table(change.new.entries)}
    for slot, writes in change.states(RANDOM_PARTS if SOAK else 0):
        if len(writes) not in UEFI_PREFIXES and not SOAK:
            continue
        change.put(writes)
        assert disk.boot_uefi().started == slot, [lba for lba, _data in writes]
        assert change.linux() == meant[slot]
        applied = table.apply_table(CommandRunner(), str(disk.image), change.new, relabel=True)
        assert applied.kind in ("none", "mend", "replace") and change.linux() == meant["a"]
