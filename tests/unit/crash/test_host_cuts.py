# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which states of a host with slots are chosen, and how they are judged, without a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import switch, table

from tests.crash import host_cuts, report, states
from tests.crash.host_cuts import Recorded
from tests.crash.soak import Results
from tests.lab.image import Image
from tests.lab.recipes import RECIPES
from tests.support import layouts
from tests.vm import slots

from .test_states import FLUSH, block, make_log

WANTED = {"a": {"bin/sh": "old"}, "b": {"bin/sh": "new"}}


def written(slot_b: str) -> bytes:
    """Return the first sector of the slot state where slot a is good."""
    state = slot_state.SlotState(order=("a", "b"), slots={"a": "good", "b": slot_b}, tries=3)
    return slot_state.serialize(state)[:512]


@pytest.fixture
def recorded(tmp_path: Path) -> Recorded:
    """An update of six writes: bad, two of slot b, trying, good; and one of slot a."""
    layout = layouts.resolved("va")
    at = {name: slots.place(layout, name)[0] // 512 for name in ("a", "b", "dispatch")}
    entries = [
        (at["dispatch"], written("bad"), 0),
        (0, b"", FLUSH),
        (at["b"], block("x", 4), 0),
        (at["b"] + 9, block("y"), 0),
        (0, b"", FLUSH),
        (at["dispatch"], written("trying"), 0),
        (0, b"", FLUSH),
        (at["a"], block("z"), 0),
        (at["dispatch"], written("good"), 0),
    ]
    log = make_log(tmp_path / "log", entries)
    image = Image(RECIPES["debian11"], tmp_path)
    (tmp_path / "disk.raw").write_bytes(b"")
    wanted = {slot: [content] for slot, content in WANTED.items()}
    return Recorded(tmp_path, image, layout, log, {"update": (0, 8), "rollback": (8, 9)}, wanted)


def test_regions_and_writes_of_the_state(recorded: Recorded) -> None:
    names = [recorded.region(entry) for entry in recorded.log.entries if entry.kind == "write"]
    assert names == ["dispatch", "b", "b", "dispatch", "a", "dispatch"]
    control = host_cuts.control_writes(recorded.log, 0, 9)
    assert [host_cuts.state_in(recorded.log, index, "b") for index in control] == ["bad", "trying", "good"]


def test_every_write_of_the_state_is_cut_before_and_behind(recorded: Recorded) -> None:
    found = host_cuts.points(recorded, "update", 1, 100)
    assert {states.Point(index, "prefix") for index in (0, 1, 5, 6)} <= set(found)
    assert all(0 <= point.at < 8 for point in found)
    assert len(set(found)) == len(found)
    assert found == host_cuts.points(recorded, "update", 1, 100)


def test_a_sample_has_both_parts_and_starts_some(recorded: Recorded) -> None:
    chosen = host_cuts.spread(recorded, 1, 8, 1)
    assert {part for part, _point, _start in chosen} == {"update", "rollback"}
    assert [start for part, _point, start in chosen if part == "update"].count(True) == 1


@pytest.mark.parametrize(
    ("part", "states_of", "found", "kind", "good"),
    [
        ("update", ("good", "bad"), WANTED, "KEPT", True),
        ("update", ("good", "trying"), WANTED, "NEW", True),
        ("update", ("good", "trying"), {**WANTED, "b": {}}, "BRICK", False),
        ("update", ("good", "bad"), {**WANTED, "a": {"bin/sh": "new"}}, "BRICK", False),
        ("update", ("bad", "good"), WANTED, "BRICK", False),
        ("rollback", ("good", "good"), WANTED, "NEW", True),
    ],
)
def test_judgement(
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    states_of: Sequence[str],
    found: dict[str, Any],
    kind: str,
    good: bool,
) -> None:
    order = ("b", "a") if states_of[1] == "trying" else ("a", "b")
    state = slot_state.SlotState(order=order, slots=dict(zip("ab", states_of)), tries=3)
    monkeypatch.setattr(states, "make", lambda *_unused: states.Applied(1, 0, 0))
    monkeypatch.setattr(states, "missing", lambda *_unused: "write 1")
    monkeypatch.setattr(host_cuts, "_state", lambda *_unused: (state, ""))
    monkeypatch.setattr(host_cuts, "content", lambda _layout, slot, *_unused: found[slot])
    line = host_cuts.judge(recorded, part, states.Point(1, "prefix"), recorded.folder, start=False)
    assert (line["class"], line["ok"]) == (kind, good), line


def test_a_state_that_grub_cannot_read_is_lost(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "make", lambda *_unused: states.Applied(1, 0, 0))
    monkeypatch.setattr(states, "missing", lambda *_unused: "write 1")
    monkeypatch.setattr(host_cuts, "_state", lambda *_unused: (None, "both copies are damaged"))
    line = host_cuts.judge(recorded, "update", states.Point(1, "prefix"), recorded.folder, start=True)
    assert (line["class"], line["ok"], line["problem"]) == ("BRICK", False, "both copies are damaged")


@pytest.mark.parametrize(
    ("states_of", "content", "kind"),
    [
        (("trying", "empty"), "old", "KEPT"),
        # A file that the commit has changed: what it is at the end is as good as what it was.
        (("good", "empty"), "committed", "KEPT"),
        (("good", "empty"), "other", "BRICK"),
        # The recovery system would start: the new system is lost, though all of its files are there.
        (("bad", "empty"), "old", "BRICK"),
    ],
)
def test_judgement_of_a_trial(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, states_of: Sequence[str], content: str, kind: str
) -> None:
    state = slot_state.SlotState(order=("a", "b"), slots=dict(zip("ab", states_of)), tries=2)
    trial = replace(recorded, trial=True, wanted={"a": [{"etc/x": "old"}, {"etc/x": "committed"}]})
    monkeypatch.setattr(states, "make", lambda *_unused: states.Applied(1, 0, 0))
    monkeypatch.setattr(states, "missing", lambda *_unused: "write 1")
    monkeypatch.setattr(host_cuts, "_state", lambda *_unused: (state, ""))
    monkeypatch.setattr(host_cuts, "_table", lambda *_unused: "")
    monkeypatch.setattr(host_cuts, "content", lambda *_unused: {"etc/x": content})
    line = host_cuts.judge(trial, "commit", states.Point(1, "prefix"), recorded.folder, start=False)
    assert (line["class"], line["ok"]) == (kind, kind == "KEPT"), line


def test_the_table_of_a_trial_is_one_of_two(recorded: Recorded) -> None:
    trial, disk = replace(recorded, trial=True), recorded.folder / "table.raw"
    size, layout = 512, recorded.layout
    with disk.open("wb") as file:
        file.truncate(layout.disk_bytes)

    def read(lba: int, count: int) -> bytes:
        with disk.open("rb") as file:
            file.seek(lba * size)
            return file.read(count * size)

    assert host_cuts._table(trial, disk) == "GRUB, Linux, UEFI: another partition table"
    for upto in ("convert", "commit"):
        wanted = table.target(layout, upto)
        planned = switch.writes("disk", read, wanted, layout.disk_bytes // size, size, replace_record=True)
        for write in planned:
            switch.perform(disk, (write,), size)
            # From the first whole table on each of the three finds a whole one at every write.
            assert upto == "convert" or host_cuts._table(trial, disk) == ""
        assert host_cuts._table(trial, disk) == ""
    # An update does not change the table, and nobody looks.
    assert host_cuts._table(recorded, recorded.folder / "nowhere") == ""


def test_the_page_counts_them(tmp_path: Path) -> None:
    lines = [
        {"part": "update", "moment": "a good, b bad", "region": "b", "class": "KEPT", "ok": True, "started": True},
        {"part": "update", "moment": "a good, b bad", "region": "b", "class": "KEPT", "ok": True, "started": False},
    ]
    Results(tmp_path / "updates.jsonl").add({**lines[0], "key": "1"})
    Results(tmp_path / "updates.jsonl").add({**lines[1], "key": "2"})
    page = report.page(tmp_path)
    assert "**2 states**, 0 not as they must be; 1 of them were started" in page
    assert "| update | 2 | 2 |  |  |" in page
