# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A power cut inside the switch of a partition table, enumerated: what Linux, GRUB and UEFI then find.

Two sets of states. *Flushed*: the disk keeps the order of flushes, as every disk promises: all writes up
to one are there, and any part of that one. *Dropped*: any subset of the writes is there, as on a disk
that lies about flushes. In the first set no reader ever finds a third table; in the second it can, and the
boot path does not depend on it: that is bytes 0-439 of LBA 0 and sectors outside of the table, which
the switch never changes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import gpt, mbr, readings, switch, table
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.read import read_disk
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import FakeRunner
from tests.support.trees import write_gpt, write_mbr

SIZE = 8 << 20
CODE = bytes(range(1, 221)) * 2
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
RANDOM_SUBSETS = 40


def entry(number: int, first: int, last: int, name: str = "") -> gpt.GptEntry:
    """Positions in MiB, for both sizes of sectors."""
    return gpt.GptEntry(number, LINUX, f"00000000-0000-4000-8000-0000000000{number:02d}", first, last, 0, name)


def scaled(table_: gpt.Gpt, sector_bytes: int) -> gpt.Gpt:
    unit = (1 << 20) // sector_bytes
    return replace(
        table_,
        entries=tuple(
            replace(one, first_lba=one.first_lba * unit, last_lba=(one.last_lba + 1) * unit - 1)
            for one in table_.entries
        ),
    )


OLD = gpt.Gpt("11111111-1111-4111-8111-111111111111", (entry(1, 1, 2, "esp"), entry(2, 3, 5), entry(3, 6, 6)))
NEW = gpt.Gpt("22222222-2222-4222-8222-222222222222", (entry(1, 3, 3), entry(5, 1, 2, "esp"), entry(6, 4, 6)))
#: ``NEW`` without its last partition, which is added; the disk GUID is the same.
LESS = replace(NEW, entries=NEW.entries[:2])


class Disk:
    """An image as bytes, with what the switch needs of it."""

    def __init__(self, data: bytes, sector_bytes: int) -> None:
        self.data = bytearray(data)
        self.sector_bytes = sector_bytes
        self.sectors = len(data) // sector_bytes

    def read(self, lba: int, count: int) -> bytes:
        return bytes(self.data[lba * self.sector_bytes : (lba + count) * self.sector_bytes])

    def put(self, lba: int, data: bytes) -> None:
        self.data[lba * self.sector_bytes : lba * self.sector_bytes + len(data)] = data

    def readings(self) -> dict[str, readings.Reading]:
        return {name: rule(self.read, self.sectors, self.sector_bytes) for name, rule in readings.READINGS.items()}

    def writes(self, wanted: gpt.Gpt, replace_record: bool = True) -> tuple[switch.Write, ...]:
        return switch.writes("/disk", self.read, wanted, self.sectors, self.sector_bytes, replace_record=replace_record)


class Case:
    """One kind of switch: the disk before it, and the table that it makes."""

    def __init__(self, kind: str, sector_bytes: int, folder: Path) -> None:
        self.sector_bytes = sector_bytes
        self.root = folder
        self.path = folder / "disk.img"
        settings = folder / "sys/block/disk.img/queue"
        settings.mkdir(parents=True)
        (settings / "logical_block_size").write_text(f"{sector_bytes}\n")
        self.wanted = scaled(NEW, sector_bytes)
        with self.path.open("wb") as stream:
            stream.truncate(SIZE)
            stream.write(CODE)
        self._make(kind)
        with self.path.open("r+b") as stream:
            stream.write(CODE)
        self.before = Disk(self.path.read_bytes(), sector_bytes)
        self.planned = self.before.writes(self.wanted, "add" not in kind)

    def _make(self, kind: str) -> None:
        if kind == "MBR":
            unit = (1 << 20) // self.sector_bytes
            write_mbr(self.path, [(0x83, unit, 4 * unit), (0x82, 5 * unit, unit)])
        elif kind == "MBR with remains of a GPT":
            write_gpt(self.path, scaled(OLD, self.sector_bytes), self.sector_bytes)
            write_mbr(self.path, [(0x83, 2048, 4096)])
        else:
            start = LESS if "add" in kind else OLD
            write_gpt(self.path, scaled(start, self.sector_bytes), self.sector_bytes)
        if "again" in kind:
            self.apply_to(scaled(start, self.sector_bytes))
            self.apply_to(scaled(replace(start, entries=start.entries[:2]), self.sector_bytes))

    def apply_to(self, wanted: gpt.Gpt) -> None:
        """Switch once, so that the entries lie at the second place."""
        disk = Disk(self.path.read_bytes(), self.sector_bytes)
        switch.perform(self.path, disk.writes(wanted), self.sector_bytes)

    def apply(self) -> str:
        runner = FakeRunner()
        return table.apply_table(runner, "/disk.img", self.wanted, relabel=True, root=self.root).kind

    def with_parts(self, parts: list[tuple[int, bytes]]) -> Disk:
        disk = Disk(self.before.data, self.sector_bytes)
        for lba, data in parts:
            disk.put(lba, data)
        return disk

    def flushed(self) -> Iterator[tuple[str, Disk]]:
        """Yield every state in which each write is whole before the next begins."""
        done: list[tuple[int, bytes]] = []
        yield "nothing", self.with_parts(done)
        for write in self.planned:
            for kept in _subsets(len(write.data) // self.sector_bytes):
                parts = [
                    (write.lba + index, write.data[index * self.sector_bytes : (index + 1) * self.sector_bytes])
                    for index in kept
                ]
                yield f"sectors {kept} of {write.what}", self.with_parts([*done, *parts])
            done.append((write.lba, write.data))
            yield f"all up to {write.what}", self.with_parts(done)

    def dropped(self) -> Iterator[tuple[frozenset[str], Disk]]:
        """Yield every subset of the writes."""
        for kept in product((False, True), repeat=len(self.planned)):
            chosen = [write for write, is_kept in zip(self.planned, kept) if is_kept]
            yield (
                frozenset(write.what for write in chosen),
                self.with_parts([(write.lba, write.data) for write in chosen]),
            )


def _subsets(count: int) -> list[tuple[int, ...]]:
    """Return all subsets of a few sectors; of many: prefixes, suffixes, one alone, one missing, random ones."""
    if count <= 4:
        return [tuple(index for index, kept in enumerate(choice) if kept) for choice in product((0, 1), repeat=count)]
    whole = range(count)
    seeded = random.Random(count)
    found = [tuple(whole[:end]) for end in range(count)] + [tuple(whole[start:]) for start in whole]
    found += [(one,) for one in whole] + [tuple(other for other in whole if other != one) for one in whole]
    found += [tuple(one for one in whole if seeded.random() < 0.5) for _unused in range(RANDOM_SUBSETS)]
    return found


KINDS = ("MBR", "MBR with remains of a GPT", "GPT", "GPT again", "add", "add again")


@pytest.fixture(params=[(kind, size) for kind in KINDS for size in (512, 4096)], ids=str)
def case(request, tmp_path):
    return Case(*request.param, tmp_path)


def test_the_cases_are_what_they_say(case):
    """The fault must be one: the readers find another table before than after."""
    before, after = case.before.readings(), case.with_parts([(one.lba, one.data) for one in case.planned]).readings()
    assert set(after.values()) == {readings.of_table(case.wanted.entries)}
    assert not set(before.values()) & set(after.values())
    assert [one.what for one in case.planned[:4]] == ["new entries", "header", "backup entries", "backup header"]
    assert len(case.planned[1].data) == case.sector_bytes


def test_with_flushes_there_is_never_a_third_table(case):
    before = case.before.readings()
    new = readings.of_table(case.wanted.entries)
    states = 0
    for what, disk in case.flushed():
        states += 1
        for name, found in disk.readings().items():
            assert found in (before[name], new), (what, name, found)
        assert disk.data[:440] == CODE
    assert states > (40 if case.sector_bytes == 4096 else 300)


def test_with_lost_writes_it_is_known_what_is_torn(case):
    """Which states show a third table: only such where a write outlived one that was flushed before it.

    GRUB follows a header without entries to whatever lies there; Linux and UEFI see its checksum and take
    the backup, and with both copies torn they find no partitions. A protective MBR without the header
    shows GRUB and UEFI an empty disk. The lifeboat's boot path reads no table, and stage two, started by
    it, switches again.
    """
    before = case.before.readings()
    new = readings.of_table(case.wanted.entries)
    order = [write.what for write in case.planned]
    seen = set()
    for kept, disk in case.dropped():
        torn = {name for name, found in disk.readings().items() if found not in (before[name], new)}
        if torn:
            no_entries = "header" in kept and "new entries" not in kept
            no_header = "protective MBR" in kept and "header" not in kept
            no_backup = "backup header" in kept and "backup entries" not in kept and "header" not in kept
            assert no_entries or no_header or no_backup, (kept, torn)
            seen |= torn
        # Nothing is torn where the writes that are there are the first ones.
        assert not torn or kept != frozenset(order[: len(kept)])
        assert disk.data[:440] == CODE
    assert seen


def test_the_boot_path_is_never_written(case):
    """Boot code, and all but the first 66 (10) and the last 33 (5) sectors, stay as they are in every state."""
    first, last = gpt.first_usable_lba(case.sector_bytes), gpt.last_usable_lba(case.before.sectors, case.sector_bytes)
    for write in case.planned:
        end = write.lba + len(write.data) // case.sector_bytes - 1
        assert end < first or write.lba > last
        if write.lba == 0:
            assert write.data[:440] == CODE


def test_a_second_run_completes_every_state(case):
    for kept, disk in case.dropped():
        case.path.write_bytes(disk.data)
        case.apply()
        found = read_disk("/disk.img", case.root)
        assert (found.gpt, found.problems) == (case.wanted, ()), kept
        assert case.apply() == "none"
        assert case.path.read_bytes()[:440] == CODE


def test_a_second_run_of_a_cut_inside_the_entries(case):
    """The second run is cut too, in the same place; the third completes."""
    new = readings.of_table(case.wanted.entries)
    before = case.before.readings()
    for _what, disk in case.flushed():
        again = disk.writes(case.wanted)
        assert again[1].what == "header"
        half = again[0].data[: len(again[0].data) // 2]
        disk.put(again[0].lba, half)
        assert all(found in (before[name], new) for name, found in disk.readings().items())
        for write in disk.writes(case.wanted):
            disk.put(write.lba, write.data)
        assert set(disk.readings().values()) == {new}


def test_a_large_foreign_array_is_not_written_over(tmp_path):
    """A table with 256 entries lies on both usual places: the new one goes behind it."""
    disk = Disk(bytes(SIZE), 512)
    present = gpt.serialise(scaled(OLD, 512), disk.sectors, 512)
    array = present[2] + bytes(128 * 128)
    header = replace(
        gpt.parse_header(present[1]), entry_count=256, first_usable_lba=66, entries_crc=gpt.zlib.crc32(array)
    )
    for lba, data in ((0, mbr.protective(disk.sectors)), (1, gpt.serialise_header(header, 512)), (2, array)):
        disk.put(lba, data)
    assert disk.readings()["UEFI"] == readings.of_table(scaled(OLD, 512).entries)
    planned = disk.writes(scaled(NEW, 512))
    assert planned[0].lba == 66
    for write in planned:
        disk.put(write.lba, write.data)
    assert set(disk.readings().values()) == {readings.of_table(scaled(NEW, 512).entries)}


def test_no_place_at_all():
    """Partitions from sector 66 on, and a present array on both places: nowhere is room."""
    disk = Disk(bytes(SIZE), 512)
    header = gpt.unpack_header(gpt.serialise(OLD, disk.sectors, 512)[1])
    disk.put(1, gpt.serialise_header(replace(header, entry_count=256), 512))
    with pytest.raises(Fault) as raised:
        disk.writes(gpt.Gpt(NEW.disk_guid, (entry(1, 66, 1000),)))
    assert raised.value.id == "disk.no_array_room"


def test_a_hybrid_record_stays_for_an_addition_and_goes_with_a_replacement():
    disk = Disk(bytes(SIZE), 512)
    for lba, data in gpt.serialise(scaled(LESS, 512), disk.sectors, 512).items():
        disk.put(lba, data)
    record = bytearray(mbr.protective(disk.sectors, CODE))
    record[462:478] = bytes.fromhex("00000000830000000008000000000100")
    disk.put(0, bytes(record))
    assert [one.lba for one in disk.writes(scaled(NEW, 512), False)][-1] != 0
    last = disk.writes(scaled(NEW, 512), True)[-1]
    assert (last.lba, last.data) == (0, mbr.protective(disk.sectors, CODE))
