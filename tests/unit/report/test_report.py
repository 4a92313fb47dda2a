# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The evidence of a run: files, results, table and page."""

from __future__ import annotations

import json
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.report import files, result, svg, table
from ansible_collections.dualroot.migrate.plugins.module_utils.report.page import page

from ..plan import documents as docs

FAULT = {
    "id": "load.payload_damaged",
    "phase": "load",
    "what": "The payload is damaged",
    "why": "Its digest differs.",
    "how": "Stage again.",
}
RUN = "20261120T191500Z-1a2b3c"


def _judged() -> dict[str, Any]:
    return judge(docs.facts(), docs.manifest(), docs.layout(), docs.options())


def _converted() -> dict[str, Any]:
    return {
        "outcome": "converted",
        "phases": [
            {"name": "attach", "started": 1.0, "seconds": 5.0, "detail": "x"},
            {"name": "restore", "started": 6.0, "seconds": 20.0},
        ],
        "downtime_seconds": 131.0,
        "peak_ram_bytes": 400 << 20,
        "boot_ids": {"old": "o", "stage_two": "s", "new": "n"},
        "unrelated": "left out",
    }


def test_a_result_has_every_field() -> None:
    plan = _judged()["plan"]
    found = result.complete("gate1", plan=plan, result=_converted())
    assert found == {
        "run_id": RUN,
        "host": "gate1",
        "mode": "convert",
        "outcome": "converted",
        "fault": None,
        "reason": None,
        "slot": "a",
        "phases": [
            {"name": "attach", "started": 1.0, "seconds": 5.0},
            {"name": "restore", "started": 6.0, "seconds": 20.0},
        ],
        "downtime_seconds": 131.0,
        "peak_ram_bytes": 400 << 20,
        "payload_bytes": 180 << 20,
        "resumed": 0,
        "boot_ids": {"old": "o", "stage_two": "s", "new": "n"},
        "lifeboat": False,
        "bundle": plan["bundle"],
        "layout": "small",
        "plan_digest": plan["digest"],
    }


def test_a_fault_before_stage_two_is_a_failure() -> None:
    found = result.complete("gate1", fault=FAULT)
    assert found is not None
    assert (found["outcome"], found["fault"], found["slot"]) == ("failed", FAULT, None)
    assert found["boot_ids"] == {"old": None, "stage_two": None, "new": None}


def test_without_result_and_fault_nothing_is_claimed() -> None:
    assert result.complete("gate1", plan=_judged()["plan"]) is None


def test_an_unknown_outcome_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        result.complete("gate1", result={"outcome": "fine"})


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = files.host_folder(tmp_path / "reports", RUN, "gate1")
    assert files.write_host(folder, {"plan": {"a": 1}, "journal": None}) == ["plan.json"]
    assert stat.S_IMODE((folder / "plan.json").stat().st_mode) == 0o600
    for made in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir()] == ["plan.json"]
    assert files.write_host(folder, {"plan": {"a": 1}}) == []


def test_a_host_name_never_leads_out(tmp_path: Path) -> None:
    for name in ("../../etc", "..", ".", "", "a/b", "a b", "h\u00f6st", "\ud800", "x" * 300, "a\nb"):
        folder = files.host_folder(tmp_path, RUN, name)
        assert folder.parent == tmp_path / RUN
        assert folder.resolve().parent == (tmp_path / RUN).resolve()
        folder.mkdir(parents=True)


def test_no_two_hosts_share_a_folder(tmp_path: Path) -> None:
    names = ["a/b", "a_b", "_a_b", "a b", "gw-1.example.net", "fe80::1", "x" * 300, "x" * 301, files._safe("a/b")]
    folders = [files.host_folder(tmp_path, RUN, name) for name in names]
    assert len(set(folders)) == len(names)
    assert files.host_folder(tmp_path, RUN, "gw-1.example.net").name == "gw-1.example.net"


def test_the_page_names_hosts_and_not_folders(tmp_path: Path) -> None:
    files.write_host(files.host_folder(tmp_path, RUN, "rack/7"), {"result": {"host": "rack/7"}})
    # A record that says it is of another host is not believed.
    files.write_host(files.host_folder(tmp_path, RUN, "gate1"), {"result": {"host": "gate2"}})
    assert sorted(files.read_run(tmp_path, RUN)) == ["gate1", "rack/7"]


def test_an_unknown_document_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="capture"):
        files.write_host(tmp_path, {"capture": {}})


def _run(tmp_path: Path) -> dict[str, dict[str, Any]]:
    judged = _judged()
    preflight = {name: judged[name] for name in ("verdict", "findings", "picture", "predicted")}
    done = result.complete("gate1", plan=judged["plan"], result=_converted())
    returned = result.complete(
        "gate2", plan=judged["plan"], result={"outcome": "returned", "fault": FAULT, "slot": None}
    )
    files.write_host(
        files.host_folder(tmp_path, RUN, "gate1"),
        {"preflight": preflight, "plan": judged["plan"], "result": done},
    )
    files.write_host(files.host_folder(tmp_path, RUN, "gate2"), {"preflight": preflight, "result": returned})
    files.write_host(files.host_folder(tmp_path, RUN, "gate3"), {"preflight": preflight})
    (tmp_path / RUN / "gate3" / "plan.json").write_text("{ broken")
    return files.read_run(tmp_path, RUN)


def test_the_final_table(tmp_path: Path) -> None:
    assert table.show_table(_run(tmp_path)) == [
        "host   outcome    slot  downtime    predicted   peak memory  fault",
        "-----  ---------  ----  ----------  ----------  -----------  --------------------",
        "gate1  converted  a     2 min 11 s  1 min 58 s  400 MiB      -",
        "gate2  returned   -     -           1 min 58 s  -            load.payload_damaged",
        "gate3  planned    -     -           1 min 58 s  -            -",
        "gate2: The payload is damaged",
        "  why: Its digest differs.",
        "  how: Stage again.",
    ]


class _Well(HTMLParser):
    """Collects tags and texts, and complains about tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "rect"):
            self.open.append(tag)
        assert not [name for name, value in attrs if name.startswith("on") or "http" in str(value)] or tag == "svg"

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_whole_and_loads_nothing(tmp_path: Path) -> None:
    text = page(RUN, _run(tmp_path))
    parser = _Well()
    parser.feed(text)
    assert parser.open == []
    assert "3 host(s): 1 converted, 1 planned, 1 returned" in parser.texts
    assert not parser.tags & {"script", "img", "link", "iframe"}
    assert 'href="gate1/result.json"' in text


def test_the_page_escapes_what_hosts_say(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    judged = _judged()
    judged["picture"]["before"]["areas"][0].update(label=evil, detail=evil, kind=evil)
    judged["findings"][0].update(what=evil, id=evil, severity=evil)
    documents = {
        "preflight": judged,
        "result": {
            "outcome": evil,
            "fault": {**FAULT, "what": evil},
            "phases": [{"name": evil, "seconds": 3, "started": 0}],
            "slot": evil,
        },
    }
    text = page(evil, {evil: documents})
    assert "<script" not in text
    parser = _Well()
    parser.feed(text)
    assert "script" not in parser.tags


def test_a_disk_is_drawn_to_its_ends() -> None:
    picture = _judged()["picture"]["after"]
    drawn = svg.disk(picture)
    assert drawn.count("<rect") == 4 + 3
    assert json.dumps(drawn).count("slot a") == 1
