# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which states a log of writes gives, and what is counted of their ends."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from tests.crash import combos, report, states, test_sample
from tests.crash.write_log import TornLog, WriteLog, last_flush

SIZE = 512
FLUSH, FUA = 1, 2


def make_log(path: Path, entries: list[tuple[int, bytes, int]]) -> WriteLog:
    """Write a log of ``(sector, data, flags)``."""
    content = struct.pack("<QQQI", 0x6A736677736872, 1, len(entries), SIZE).ljust(SIZE, b"\0")
    for sector, data, flags in entries:
        content += struct.pack("<QQQQ", sector, len(data) // SIZE, flags, 0).ljust(SIZE, b"\0") + data
    path.write_bytes(content)
    return WriteLog(path)


def block(letter: str, count: int = 1) -> bytes:
    return letter.encode() * SIZE * count


@pytest.fixture
def log(tmp_path: Path) -> WriteLog:
    entries = [(0, block("a"), 0), (0, b"", FLUSH), (1, block("b"), 0), (2, block("c"), 0), (3, block("d"), FUA)]
    return make_log(tmp_path / "log", [*entries, (4, block("e", 4), 0)])


def state(log: WriteLog, point: states.Point) -> str:
    """Return the first letter of each sector of the state, ``.`` where nothing was written."""
    disk = ["."] * 8
    for entry, length in states.chosen(log, point)[0]:
        data = log.data(entry)[:length]
        for number in range(length // SIZE):
            disk[entry.offset // SIZE + number] = chr(data[number * SIZE])
    return "".join(disk)


def test_entries_of_a_log(log: WriteLog) -> None:
    assert [entry.kind for entry in log.entries] == ["write", "flush", "write", "write", "write", "write"]
    assert [entry.durable for entry in log.entries] == [False, False, False, False, True, False]
    assert last_flush(log.entries, 1) == 0
    assert last_flush(log.entries, 5) == 2


def test_a_log_whose_entries_are_not_one_behind_the_other_is_refused(tmp_path: Path) -> None:
    """A write that QEMU could not log leaves its place empty, or another entry lies there."""
    make_log(tmp_path / "whole", [(8, b"a" * SIZE, 0), (9, b"b" * SIZE, 0)])
    head, first, data, second, rest = (
        (tmp_path / "whole").read_bytes()[at * SIZE : (at + 1) * SIZE] for at in range(5)
    )
    (tmp_path / "torn").write_bytes(head + first + second + rest + bytes(len(data)))
    (tmp_path / "empty").write_bytes(head + bytes(2 * SIZE) + second + rest)
    with pytest.raises(TornLog, match="there is no entry at byte"):
        WriteLog(tmp_path / "empty")
    with pytest.raises(TornLog, match="there is no entry at byte"):
        WriteLog(tmp_path / "torn")
    (tmp_path / "short").write_bytes(head + first + data)
    with pytest.raises(TornLog, match="beyond its end"):
        WriteLog(tmp_path / "short")


def test_a_prefix_has_every_write_before_it(log: WriteLog) -> None:
    assert state(log, states.Point(0, "prefix")) == "........"
    assert state(log, states.Point(4, "prefix")) == "abc....."


def test_what_was_flushed_or_durable_is_never_lost_and_the_rest_may_be(log: WriteLog) -> None:
    found = {state(log, states.Point(5, "dropped", seed)) for seed in range(40)}
    assert found == {"abcd....", "ab.d....", "a.cd....", "a..d...."}


def test_a_torn_write_is_there_in_part(log: WriteLog) -> None:
    found = {state(log, states.Point(5, "torn", seed)) for seed in range(40)}
    assert found == {"abcde...", "abcdee..", "abcdeee."}


def test_same_seed_same_states(log: WriteLog) -> None:
    steps = ["x"] * len(log.entries)
    assert states.points(log, steps, 3, 8, 1 << 20) == states.points(log, steps, 3, 8, 1 << 20)
    assert len({point.name for point in states.points(log, steps, 3, 8, 1 << 20)}) == len(
        states.points(log, steps, 3, 8, 1 << 20)
    )


def test_a_cut_falls_anywhere_but_twice_at_the_same_write(log: WriteLog) -> None:
    found = states.anywhere(log, 3, 400)
    assert sorted(point.at for point in found) == [at for at, one in enumerate(log.entries) if one.kind == "write"]
    assert states.anywhere(log, 3, 2) == states.anywhere(log, 3, 2) and len(states.anywhere(log, 3, 2)) == 2


def test_every_write_of_a_step(log: WriteLog) -> None:
    steps = ["a.b" if at in (1, 4) else "a.c" for at in range(len(log.entries))]
    writes = [at for at in (1, 4) if log.entries[at].kind == "write"]
    found = states.of_step(log, steps, "a.b", 3)
    assert writes and sorted({point.at for point in found}) == writes
    assert [point.at for point in found if point.kind == "prefix"] == writes
    assert states.of_step(log, steps, "a.d", 3) == []


def test_what_a_state_lacks(log: WriteLog, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(block("a") + block("b") + block("c") + block("d") + block("e", 4))
    assert states.missing(log, states.Point(3, "prefix"), image) == ""
    image.write_bytes(block("a") + block("b") + block("c") + block("d") + block("f", 4))
    assert states.missing(log, states.Point(3, "prefix"), image) == "write 5 of 6 at byte 2048"


def test_steps_come_from_the_records_of_the_journal(tmp_path: Path) -> None:
    record = b'DRJOURN1........{"event":"start","phase":"restore","step":"mount"}'.ljust(SIZE, b"\0")
    log = make_log(tmp_path / "log", [(0, block("a"), 0), (9, record, 0), (1, block("b"), 0)])
    marks = [(0, "dualroot: load: parts")]
    steps = states.steps_by_journal(log, [(9 * SIZE, SIZE)], marks)
    assert steps == ["load.parts", "restore.mount", "restore.mount"]
    last = states.last_record(log, states.Point(3, "prefix"), [(9 * SIZE, SIZE)])
    assert last == {"phase": "restore", "step": "mount", "event": "start"}


def test_the_matrix_has_every_combination_that_makes_sense() -> None:
    found = combos.all_combos()
    assert len({combo.name for combo in found}) == len(found)
    asked = {(combo.firmware, combo.bus, combo.fstype, combo.table) for combo in found}
    buses = ("virtio", "sata", "nvme")
    wanted = {("bios", bus, fs, table) for bus in buses for fs in ("ext4", "xfs") for table in ("mbr", "gpt")}
    wanted |= {("uefi", bus, fs, "gpt") for bus in buses for fs in ("ext4", "xfs")}
    assert asked == wanted
    assert {combo.sector_bytes for combo in found} == {512, 4096}


def test_the_sample_is_of_the_matrix_and_large_enough() -> None:
    sample = [combos.find(name) for name in test_sample.MACHINES]
    assert sum(test_sample.MACHINES.values()) >= 40
    assert {combo.firmware for combo in sample} == {"bios", "uefi"}
    assert {combo.fstype for combo in sample} == {"ext4", "xfs"}


def test_page_counts_what_is_there_and_names_what_is_wrong(tmp_path: Path) -> None:
    line = {
        "combo": "bios-virtio-ext4-mbr-va",
        "engine": "e",
        "recording": "stage-two",
        "point": "3-torn-1",
        "moment": "old",
        "step": "load.parts",
        "class": "OLD",
        "ok": True,
        "problem": "",
        "proof": {"lacks": "write 3"},
    }
    bad = {**line, "class": "BRICK", "ok": False, "problem": "it ended as: silent"}
    assert "No results" in report.page(tmp_path)
    again = {**line, "recording": "again-7-prefix"}
    text = "\n".join(map(json.dumps, [line, bad, again]))
    (tmp_path / "soak.jsonl").write_text(text)
    page = report.page(tmp_path)
    assert "**3 distinct states**" in page and "1 did not end" in page
    assert "it ended as: silent" in page
    assert "| stage two | 2 | 1 |" in page and "in which it had been cut before | 1 | 1 |" in page
