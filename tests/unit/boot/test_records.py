# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records on the dispatch file system: written whole, read with forbearance."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.records import Outcome, SlotRecord

RECORD = SlotRecord(
    slot="b",
    kind="bundle",
    name="gateway-13",
    version="1.2.0",
    layout="va",
    run_id="20260101T120000Z-3f9a1c",
    installed="2026-01-01T12:10:00Z",
    payload_sha256="a" * 64,
    content_sha256="b" * 64,
    title="Debian GNU/Linux 13 (trixie), kernel 6.12.0",
)
OUTCOME = Outcome("2026-01-01T12:20:00Z", "b", RECORD.run_id, "fell_back", "no sshd listens")


def test_a_slot_record_reads_back(tmp_path: Path) -> None:
    records.write_slot(tmp_path, RECORD)
    records.write_slot(tmp_path, replace(RECORD, slot="a", kind="old", payload_sha256=""))
    assert records.read_slots(tmp_path) == {
        "a": replace(RECORD, slot="a", kind="old", payload_sha256=""),
        "b": RECORD,
    }


def test_a_slot_record_has_one_key_a_line_for_sed(tmp_path: Path) -> None:
    records.write_slot(tmp_path, replace(RECORD, title='Söme "quoted" \\ text\nof two lines'))
    lines = (tmp_path / "slots/b.json").read_text("ascii").splitlines()
    assert lines[0] == "{" and lines[-1] == "}"
    assert lines[4] == ' "version": "1.2.0",'
    assert lines[-2] == ' "title": "S?me \'quoted\' / text of two lines"'


def test_a_removed_record_is_gone_and_may_be_removed_again(tmp_path: Path) -> None:
    records.write_slot(tmp_path, RECORD)
    records.remove_slot(tmp_path, "b")
    records.remove_slot(tmp_path, "b")
    assert records.read_slots(tmp_path) == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"slot": "b"}',
        "\xff",
        json.dumps({**RECORD.__dict__, "slot": "a"}),
        json.dumps({**RECORD.__dict__, "kind": "other"}),
        json.dumps({**RECORD.__dict__, "version": 12}),
        "[" * 100000,
    ],
)
def test_a_damaged_record_is_left_out(tmp_path: Path, text: str) -> None:
    records.write_slot(tmp_path, replace(RECORD, slot="a"))
    (tmp_path / "slots/b.json").write_text(text, "latin-1")
    assert list(records.read_slots(tmp_path)) == ["a"]


def test_a_record_of_a_newer_release_is_read(tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots/b.json").write_text(json.dumps({**RECORD.__dict__, "colour": "blue"}))
    assert records.read_slots(tmp_path) == {"b": RECORD}


@pytest.mark.parametrize("wrong", [{"slot": "c"}, {"slot": "../a"}, {"kind": "new"}])
def test_no_record_of_what_does_not_exist_is_written(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is none of"):
        records.write_slot(tmp_path, replace(RECORD, **wrong))
    assert not (tmp_path / "slots").exists()


def test_outcomes_read_back_in_their_order(tmp_path: Path) -> None:
    assert records.read_outcomes(tmp_path) == []
    second = replace(OUTCOME, event="good", reason="")
    records.add_outcome(tmp_path, OUTCOME)
    records.add_outcome(tmp_path, second)
    assert records.read_outcomes(tmp_path) == [OUTCOME, second]


def test_an_outcome_is_one_line_in_a_fixed_order_for_sed(tmp_path: Path) -> None:
    records.add_outcome(tmp_path, replace(OUTCOME, reason='check "web"\nfailed: C:\\x ' + "y" * 400))
    text = (tmp_path / "outcomes.jsonl").read_text("ascii")
    start = (
        '{"time": "2026-01-01T12:20:00Z", "slot": "b", "run_id": "20260101T120000Z-3f9a1c", '
        '"event": "fell_back", "reason": "check \'web\' failed: C:/x yyy'
    )
    assert text.startswith(start) and text.count("\n") == 1
    assert len(records.read_outcomes(tmp_path)[0].reason) == records.REASON_LENGTH


def test_only_the_last_outcomes_are_kept(tmp_path: Path) -> None:
    for number in range(records.OUTCOMES_KEPT + 5):
        records.add_outcome(tmp_path, replace(OUTCOME, reason=str(number)))
    found = [outcome.reason for outcome in records.read_outcomes(tmp_path)]
    assert len(found) == records.OUTCOMES_KEPT
    assert (found[0], found[-1]) == ("5", str(records.OUTCOMES_KEPT + 4))


def test_damaged_outcomes_are_left_out(tmp_path: Path) -> None:
    records.add_outcome(tmp_path, OUTCOME)
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(b'{"time": "2026\n\xff\xfe\n{"event": "unknown"}\n' + path.read_bytes() + b'{"cut": ')
    assert records.read_outcomes(tmp_path) == [OUTCOME]
    records.add_outcome(tmp_path, OUTCOME)
    assert records.read_outcomes(tmp_path) == [OUTCOME, OUTCOME]


@pytest.mark.parametrize("wrong", [{"slot": "r"}, {"event": "exploded"}])
def test_no_outcome_of_what_does_not_exist_is_written(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is none of"):
        records.add_outcome(tmp_path, replace(OUTCOME, **wrong))
    assert not (tmp_path / "outcomes.jsonl").exists()


def test_the_layout_reads_back(tmp_path: Path) -> None:
    assert records.layout(tmp_path) == {}
    records.install_layout(tmp_path, {"name": "va", "partitions": []})
    assert records.layout(tmp_path) == {"name": "va", "partitions": []}
    (tmp_path / "layout.json").write_text("[1]")
    assert records.layout(tmp_path) == {}


def test_the_time_is_of_the_form_that_records_hold() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", records.now())
