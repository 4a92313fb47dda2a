# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the playbook ``status`` reads and shows."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.report import status

MIB = 1 << 20


def slot(state: str, name: str = "", version: str = "", kind: str = "bundle") -> dict[str, str]:
    texts = dict.fromkeys(("layout", "run_id", "installed", "payload_sha256", "content_sha256", "title"), "")
    return {"state": state, "kind": kind, "name": name, "version": version, **texts}


PRINTED: dict[str, Any] = {
    "running": "a",
    "run_id": "run-a",
    "mode": "",
    "order": ["b", "a"],
    "tries": 2,
    "next": "",
    "generation": 7,
    "boots_next": "b",
    "fell_back": True,
    "slots": {"a": slot("good", "gateway", "1.0"), "b": slot("trying", "gateway", "2.0")},
    "copies": [{"name": "state", "damage": ""}, {"name": "state.copy", "damage": "it cannot be read"}],
    "health": {"result": "failed", "reason": "web"},
    "outcomes": [
        {"time": f"2026-01-0{day}T00:00:00Z", "slot": "b", "run_id": "run-b", "event": event, "reason": reason}
        for day, event, reason in (
            (1, "installed", ""),
            (2, "good", ""),
            (3, "bad", "disk"),
            (4, "fell_back", "no sshd"),
        )
    ],
    "tries_ended": [{"run_id": "run-b", "slot": "b", "reason": "no sshd listens"}],
    "file_systems": [
        {"device": "/dev/vda2", "mount": "/boot/dispatch", "size_bytes": 100 * MIB, "free_bytes": 20 * MIB},
        {"device": "/dev/VA/root", "mount": "/", "size_bytes": 1000 * MIB, "free_bytes": 400 * MIB},
        {"device": "/dev/VA/data", "mount": "/data", "size_bytes": 100 * MIB, "free_bytes": 5 * MIB},
    ],
}


def test_what_the_command_printed_is_read() -> None:
    assert status.read(json.dumps(PRINTED)) == PRINTED
    lost = {name: value for name, value in PRINTED.items() if name not in ("slots", "order", "tries", "boots_next")}
    assert status.read(json.dumps(lost)) == lost


@pytest.mark.parametrize("change", [{"slots": {"a": 1}}, {"tries": "2"}, {"outcomes": [{}]}, {"file_systems": [1]}])
def test_what_has_not_its_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        status.read(json.dumps({**copy.deepcopy(PRINTED), **change}))


@pytest.mark.parametrize("text", ["", "sudo: a password is required", "[]", json.dumps(PRINTED)[:-9]])
def test_what_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        status.read(text)


def test_the_table_of_all_kinds_of_hosts() -> None:
    kept = {**PRINTED, "slots": {"a": slot("trying", "gateway", "1"), "b": slot("good", kind="old")}, "boots_next": "r"}
    hosts = {
        "one": {"system": "new_system", "problem": "", **PRINTED, "fell_back": False, "health": None, "copies": []},
        "two": {"system": "recovery", "problem": "", **kept, "outcomes": [], "tries_ended": [], "file_systems": []},
        "three": {"system": "stage_two", "problem": "", "phase": "restore", "percent": 40},
        "four": {"system": "old_system", "problem": ""},
        "five": {"system": "unreachable", "problem": "no answer: timed out"},
    }
    lines = status.show_table(hosts)
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[:7]]
    assert [" | ".join(row) for row in [cells[0], *cells[2:]]] == [
        "host | runs | slot a | slot b | boots next | least free",
        "one | slot a | good, gateway 1.0 | trying (2 left), gateway 2.0 | slot b | 5 MiB of 100 MiB /data",
        "two | recovery system | trying (2 left), gateway 1 | good, old system | recovery | -",
        "three | stage two, restore 40 % | - | - | - | -",
        "four | old system | - | - | - | -",
        "five | unreachable | - | - | - | -",
    ]
    assert lines[7:] == [
        "one: 2026-01-04T00:00:00Z slot b fell_back: no sshd",
        "one: 2026-01-03T00:00:00Z slot b bad: disk",
        "one: 2026-01-02T00:00:00Z slot b good",
        "one: a try of slot b (run run-b) ended: no sshd listens",
        "one: /data has 5 MiB left",
        "two: state.copy of the slot state: it cannot be read",
        "two: slot b is on trial, and another system came up",
        "two: health checks: failed web",
        "five: no answer: timed out",
    ]
