# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lines of the wait."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.progress import (
    format_elapsed,
    key,
    line,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.waiting.state import (
    Dark,
    FellBack,
    NewSystem,
    OldSystem,
    Recovery,
    StageTwo,
)

MIB = 1 << 20
RESTORE = StageTwo(
    "r",
    "b",
    "running",
    "restore",
    "unpack",
    43,
    bytes_done=312 * MIB,
    bytes_total=720 * MIB,
    ram_used_bytes=181 * MIB,
)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (RESTORE, "   1:05  restore    43 %, 312 MiB of 720 MiB, RAM 181 MiB, unpack"),
        (StageTwo("r", "b"), "   1:05  stage two is starting"),
        (StageTwo("r", "b", "awaiting", "await"), "   1:05  await       0 %, awaiting"),
        (OldSystem("b"), "   1:05  the old system is going down"),
        (FellBack("b"), "   1:05  the old system is back"),
        (NewSystem("a", "r", "b"), "   1:05  the new system runs in slot a"),
        (Recovery("r", "b"), "   1:05  the recovery system runs"),
        (Dark("x"), "   1:05  no answer"),
        (Dark("x", refused=True), "   1:05  no login yet"),
    ],
)
def test_lines(state, expected):
    assert line(state, 65.4) == expected


def test_hours():
    assert format_elapsed(3723) == "1:02:03"


def test_what_is_worth_another_line():
    again = StageTwo("r", "b", "running", "restore", "unpack", 49)
    more = StageTwo("r", "b", "running", "restore", "unpack", 50)
    assert key(RESTORE) == key(again) != key(more)
    assert key(Dark("x")) == key(Dark("y")) != key(Dark("y", refused=True))
    assert key(OldSystem("b")) != key(FellBack("b"))
