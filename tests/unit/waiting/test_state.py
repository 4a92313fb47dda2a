# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The system is told by its markers, never by the boot id alone."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.observation import (
    Answer,
    KeyChanged,
    Silence,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.state import (
    Dark,
    FellBack,
    NewSystem,
    OldSystem,
    Recovery,
    StageTwo,
    classify,
)


def answer(**fields):
    return Answer(**{"boot_id": "b2", "uptime": 5.0, **fields})


CASES = [
    ("same boot id", answer(boot_id="b1"), OldSystem("b1")),
    ("another boot id, no marker", answer(), FellBack("b2")),
    (
        "stage two before its status",
        answer(arguments={"mode": "convert", "run": "r"}),
        StageTwo(run_id="r", boot_id="b2"),
    ),
    (
        "stage two under the old boot id (kexec keeps none, a broken clock might)",
        answer(boot_id="b1", arguments={"mode": "convert", "run": "r"}),
        StageTwo(run_id="r", boot_id="b1"),
    ),
    ("recovery", answer(arguments={"mode": "recovery", "run": "r"}), Recovery("r", "b2")),
    (
        "new system by its kernel arguments",
        answer(arguments={"slot": "a", "run": "r"}, slots={"dr_a": "trying"}),
        NewSystem("a", "r", "b2", "trying"),
    ),
    (
        "new system by its fact file",
        answer(fact={"slot": "a", "run_id": "r"}),
        NewSystem("a", "r", "b2", "", {"slot": "a", "run_id": "r"}),
    ),
    ("silence", Silence("refused"), Dark("refused")),
    ("login refused", Silence("denied", refused=True), Dark("denied", refused=True)),
    ("changed key", KeyChanged("changed"), Dark("changed", key_changed=True)),
]


@pytest.mark.parametrize(("observation", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_system(observation, expected):
    assert classify(observation, old_boot_id="b1") == expected


def test_without_an_old_boot_id_no_marker_means_the_old_system():
    assert classify(answer()) == OldSystem("b2")


def test_the_status_of_stage_two_is_read_whole():
    fault = {"id": "x.y", "phase": "load", "what": "w", "why": "y", "how": "h"}
    status = {
        "run_id": "r",
        "mode": "rehearse",
        "state": "returning",
        "phase": "load",
        "step": "copy",
        "percent": 12.7,
        "bytes_done": 10,
        "bytes_total": 80,
        "ram_used_bytes": 3,
        "ram_peak_bytes": 4,
        "message": "m",
        "plan_digest": "d",
        "fault": fault,
    }
    assert classify(answer(arguments={"mode": "convert"}, status=status)) == StageTwo(
        "r", "b2", "returning", "load", "copy", 12, 10, 80, 3, 4, "m", "d", "rehearse", fault
    )


def test_a_status_with_nulls_keeps_the_defaults():
    status = {"state": None, "percent": None, "bytes_done": True, "fault": "text"}
    found = classify(answer(arguments={"mode": "convert", "run": "r"}, status=status))
    assert found == StageTwo(run_id="r", boot_id="b2", activity="running")
