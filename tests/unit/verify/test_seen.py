# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that is wrong is said at once."""

from __future__ import annotations

from ansible_collections.dualroot.migrate.plugins.module_utils.verify.seen import (
    CommandResult,
    Seen,
    dualroot_arguments,
    judge,
)

PLAN = {"slot": "a", "run_id": "r", "layout": {"disk_guid": "G"}}
WELL = {"arguments": {"slot": "a", "run": "r"}, "disk": "/dev/vda", "record": {"run_id": "r"}}


def ids(**seen):
    return [fault.id for fault in judge(PLAN, Seen(**{**WELL, **seen}))]


def test_nothing_to_say():
    assert ids(commands=[CommandResult("true", 0, "")]) == []


def test_all_at_once():
    assert ids(
        arguments={"slot": "b"},
        disk="",
        layout_differences=["x"],
        configuration_differences=["y"],
        commands=[CommandResult("false", 1, ""), CommandResult("true", 0, "")],
        record=None,
    ) == [
        "verify.wrong_system",
        "verify.wrong_system",
        "verify.disk_missing",
        "verify.layout_differs",
        "verify.configuration_differs",
        "verify.unhealthy",
        "verify.no_record",
    ]


def test_the_record_of_another_run():
    assert ids(record={"run_id": "q"}) == ["verify.no_record"]


def test_many_differences_are_cut_short():
    (fault,) = judge(PLAN, Seen(**WELL, layout_differences=[f"d{number}" for number in range(12)]))
    assert fault.what.startswith("12 point(s)")
    assert fault.what.endswith("d7; and 4 more")


def test_the_end_of_the_output_is_the_reason():
    (fault,) = judge(PLAN, Seen(**WELL, commands=[CommandResult("check", 3, "a\nthe reason\n")]))
    assert fault.record()["what"] == "The health command ended with status 3: check"
    assert fault.record()["why"] == "a\nthe reason"


def test_arguments_of_the_kernel():
    found = dualroot_arguments("root=/dev/VA/root dualroot.slot=a quiet dualroot.run=r gpt")
    assert found == {"slot": "a", "run": "r"}
