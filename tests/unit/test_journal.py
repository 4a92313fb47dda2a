# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils import journal
from ansible_collections.dualroot.migrate.plugins.module_utils.journal import Entry, Journal


def make(path: Path) -> Journal:
    ticks = count(100)
    return Journal(path, clock=lambda: float(next(ticks)))


def test_writes_a_line_per_event_and_reads_them_back(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written = make(path)
    written.add("load", "payload", "start")
    written.add("load", "payload", "done", 2.5, {"bytes": 7})

    assert path.read_text() == (
        '{"time":100.0,"phase":"load","step":"payload","event":"start"}\n'
        '{"time":101.0,"phase":"load","step":"payload","event":"done","seconds":2.5,"detail":{"bytes":7}}\n'
    )
    assert journal.read(path) == tuple(written.entries)
    assert Journal(path).entries == written.entries


def test_a_torn_last_line_is_passed_over_and_its_step_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written = make(path)
    written.add("partition", "table", "start")
    written.add("partition", "table", "done", 1)
    path.write_bytes(path.read_bytes()[:-30])

    assert [entry.event for entry in journal.read(path)] == ["start"]
    assert journal.finished(journal.read(path)) == frozenset()


def test_finished_looks_at_the_last_event_of_each_step() -> None:
    entries = [
        Entry(1, "a", "one", "done"),
        Entry(2, "a", "two", "fail"),
        Entry(3, "a", "one", "start"),
        Entry(4, "b", "three", "skip"),
    ]
    assert journal.finished(entries) == {("b", "three")}
    assert journal.last_finished(entries) == ("b", "three")
    assert journal.last_finished([]) is None


def test_timings_span_a_phase_from_its_first_event_to_its_last() -> None:
    entries = [Entry(5, "load", "x", "start"), Entry(9, "load", "x", "done"), Entry(2, "attach", "y", "done")]
    assert journal.timings(entries, ("attach", "load", "await")) == [
        {"name": "attach", "started": 2, "seconds": 0},
        {"name": "load", "started": 5, "seconds": 4},
    ]


def test_knows_its_events(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finished"):
        make(tmp_path / "j").add("a", "b", "finished")
    assert journal.read(tmp_path / "j") == ()
