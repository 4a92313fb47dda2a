# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A power cut anywhere between the old system and the dispatcher, each state booted: who starts?

The writes are those that the engine really makes: lifeboat's core, LBA 0, the five of the table switch,
the dispatcher's core, LBA 0, and the four with which ``commit`` adds a partition. A state is a prefix of
them with any part of the next; and, for a disk that lies about flushes, any subset of the table's writes
while the lifeboat is in charge. Each boots the old system, the lifeboat or the dispatcher, and which one
is decided by LBA 0 alone. The dispatcher finds its partition by GRUB's reading of the table.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import control, dispatcher, grub_bios
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import mbr, raw, table
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from . import boot_sectors, lifeboat
from .lifeboat import boot
from .machine import MIB, SECTOR, Disk, copy_disk, make_plan

SOAK = bool(os.environ.get("DUALROOT_SOAK"))
#: Random states beside the prefixes: parts of one write, and subsets of the table's writes.
RANDOM_STATES = 40 if SOAK else 4
#: Behind the last partition of the small layout.
LIFEBOAT_START = 64 * MIB
PLAN = make_plan()


@dataclass(frozen=True)
class Write:
    step: str
    offset: int
    data: bytes


class Journey:
    """The disk before the point of no return, and every write that leads to the dispatcher, in order."""

    def __init__(self, disk: Disk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.disk = disk
        self.image = disk.image
        self.writes: list[Write] = []
        disk.set_state(a="good")
        disk.write(0, self._old_record())
        for start, length in ((SECTOR, 2048 * SECTOR - SECTOR), (2048 * SECTOR, 2 * MIB), (79 * MIB, MIB)):
            disk.write(start, b"\xa5" * length)
        self.boat = lifeboat.stow(self.image, lifeboat.content(), LIFEBOAT_START)
        self.before = self.image.read_bytes()
        self._record(folder / "scratch.img", monkeypatch)

    def _old_record(self) -> bytes:
        record = bytearray(mbr.protective(1))
        record[446:462] = bytes.fromhex("80000000830000000008000000000100")
        return boot_sectors.old_system(bytes(record))

    def _record(self, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make all the writes on a copy; what clears the ends of new partitions is no part of a boot path."""
        scratch.write_bytes(self.before)
        node, layout, runner = str(scratch), self.disk.layout, CommandRunner()
        real = raw.write_at

        def recorder(step: str) -> None:
            def record(handle: int, offset: int, data: bytes) -> None:
                self.writes.append(Write(step, offset, data))
                real(handle, offset, data)

            monkeypatch.setattr(raw, "write_at", record)

        recorder("prepare")
        control.prepare_lifeboat(runner, node, layout, PLAN, self.boat)
        recorder("take_control")
        control.take_control(runner, node, layout, PLAN, self.boat)
        recorder("table")
        whole = table.target(layout, "commit")
        table.apply_table(runner, node, replace(whole, entries=whole.entries[:-1]), relabel=True)
        recorder("install")
        core = grub_bios.build_core(runner, grub_bios.GRUB_DIRECTORY, "(,gpt2)/grub", dispatcher.early_config(PLAN))
        grub_bios.embed_core(node, core, layout)
        recorder("hand_over")
        control.hand_over(runner, node, layout, PLAN)
        recorder("commit")
        table.apply_table(runner, node, whole)
        monkeypatch.setattr(raw, "write_at", real)

    def who(self, writes: list[Write]) -> str:
        """Boot the disk with these writes on it: ``old``, ``lifeboat``, ``dispatcher`` or what was said."""
        self.image.write_bytes(self.before)
        for write in writes:
            self.disk.write(write.offset, write.data)
        found = boot({self.image: "virtio"})
        if boot_sectors.OLD_SYSTEM in found.text:
            return "old"
        if found.initrd.split() == lifeboat.content().spoken.split() and "dualroot.resume=1" in found.kernel:
            return "lifeboat"
        if found.choice == "a good" and found.started == "a":
            return "dispatcher"
        return found.text

    def prefixes(self) -> Iterator[tuple[str, list[Write]]]:
        """Yield every prefix, with who must start."""
        for count in range(len(self.writes) + 1):
            done = self.writes[:count]
            steps = {write.step for write in done}
            yield _owner(steps), done

    def parts(self, count: int) -> Iterator[tuple[str, list[Write]]]:
        """Yield prefixes with some sectors of the next write, for the writes of more than one sector."""
        seeded = random.Random(3)
        large = [index for index, write in enumerate(self.writes) if len(write.data) > SECTOR]
        for turn in range(count):
            index = large[turn % len(large)]
            done, write = self.writes[:index], self.writes[index]
            pieces = [
                Write(write.step, write.offset + at, write.data[at : at + SECTOR])
                for at in range(0, len(write.data), SECTOR)
                if seeded.random() < 0.5
            ]
            yield _owner({one.step for one in done}), [*done, *pieces]

    def dropped(self, count: int | None) -> Iterator[list[Write]]:
        """Yield subsets of the table's writes after control was taken, all or ``count`` random ones."""
        first = [write for write in self.writes if write.step in ("prepare", "take_control")]
        later = [write for write in self.writes if write.step == "table"]
        choices = list(product((False, True), repeat=len(later)))
        if count is not None:
            choices = random.Random(4).sample(choices, count)
        for kept in choices:
            yield [*first, *(write for write, is_kept in zip(later, kept) if is_kept)]


def _owner(steps: set[str]) -> str:
    if "hand_over" in steps:
        return "dispatcher"
    return "lifeboat" if "take_control" in steps else "old"


@pytest.fixture
def journey(prepared: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journey:
    return Journey(copy_disk(prepared, tmp_path / "disk"), tmp_path, monkeypatch)


def test_the_writes_are_what_they_should_be(journey: Journey) -> None:
    """Control changes hands by one sector each time, in which the table's bytes stay; nothing else hits LBA 0."""
    assert [write.step for write in journey.writes] == [
        "prepare",
        "take_control",
        *["table"] * 5,
        "install",
        "hand_over",
        *["commit"] * 4,
    ]
    at_zero = [write for write in journey.writes if write.offset == 0]
    assert [(write.step, len(write.data)) for write in at_zero] == [
        ("take_control", SECTOR),
        ("table", SECTOR),
        ("hand_over", SECTOR),
    ]
    taken, protective, handed = (write.data for write in at_zero)
    assert taken[440:] == journey.before[440:SECTOR]
    assert protective[:440] == taken[:440]
    assert handed[440:] == protective[440:]
    boat = [(one.start, one.end) for part in journey.boat.parts.values() for one in part.extents]
    for write in journey.writes[2:]:
        assert not any(start < write.offset + len(write.data) and write.offset < end for start, end in boat)


def test_every_cut_starts_somebody(journey: Journey) -> None:
    seen = set()
    for expected, writes in (*journey.prefixes(), *journey.parts(RANDOM_STATES)):
        found = journey.who(writes)
        assert found == expected, [(write.step, write.offset, len(write.data)) for write in writes]
        seen.add(found)
    assert seen == {"old", "lifeboat", "dispatcher"}


def test_a_torn_table_does_not_keep_the_lifeboat_from_starting(journey: Journey) -> None:
    for writes in journey.dropped(None if SOAK else RANDOM_STATES):
        assert journey.who(writes) == "lifeboat", [write.offset for write in writes]
