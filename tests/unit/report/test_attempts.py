# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that is led to its end in a second attempt ends without the fault of the first."""

from __future__ import annotations

from ansible_collections.dualroot.migrate.plugins.module_utils.report.files import read_document, write_host

FAULT = {"id": "convert.timed_out", "phase": "convert", "what": "w", "why": "y", "how": "h"}


def test_a_good_result_ends_an_earlier_fault(tmp_path):
    write_host(tmp_path, {"result": {"outcome": "failed", "fault": FAULT}, "fault": FAULT})
    assert write_host(tmp_path, {"result": {"outcome": "converted", "fault": None}}) == ["result.json", "fault.json"]
    assert read_document(tmp_path, "fault") is None


def test_a_fault_stays_where_nothing_is_said_of_the_result(tmp_path):
    write_host(tmp_path, {"fault": FAULT})
    assert write_host(tmp_path, {"plan": {"run_id": "r"}}) == ["plan.json"]
    assert read_document(tmp_path, "fault") == FAULT
