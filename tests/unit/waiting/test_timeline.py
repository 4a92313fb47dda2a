# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phases and their lengths, from the journal."""

from __future__ import annotations

from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.timeline import phases, read_journal, read_result

JOURNAL = """{"time": 100.0, "phase": "attach", "step": "network", "event": "start"}
{"time": 102.5, "phase": "attach", "step": "network", "event": "done", "seconds": 2.5}
{"time": 103.0, "phase": "load", "step": "payload", "event": "start"}
{"time": 110.0, "phase": "load", "step": "payload", "event": "done", "seconds": 7.0}
["no entry"]
{"time": 120.0, "phase": "await", "step": "go", "event": "done", "seconds": 8.0}
{"time": 121.0, "phase": "unknown", "step": "x", "event": "start"}
{"time": 12
"""


def test_a_cut_line_is_left_out():
    assert [entry["time"] for entry in read_journal(JOURNAL)] == [100.0, 102.5, 103.0, 110.0, 120.0, 121.0]


def test_phases_follow_each_other():
    assert phases(read_journal(JOURNAL)) == [
        {"name": "attach", "started": 100.0, "seconds": 3.0},
        {"name": "load", "started": 103.0, "seconds": 9.0},
        {"name": "await", "started": 112.0, "seconds": 9.0},
    ]


def test_no_journal():
    assert phases([]) == []


def test_the_result():
    assert read_result('{"fault": null}') == {"fault": None}
    assert read_result("") is None
    assert read_result("[]") is None
