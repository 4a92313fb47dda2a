# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which the crash matrix goes through its machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.crash import __main__ as program
from tests.crash.combos import CONTROL, Combo

A, B, C = Combo(), Combo(bus="sata"), Combo(bus="nvme")


class Machines:
    """What is ready, and how many states there are; a combination becomes ready when it is waited for."""

    def __init__(self, ready: tuple[Combo, ...], counts: dict[Combo, int]) -> None:
        self.ready, self.counts = set(ready), counts

    def is_ready(self, combo: Combo) -> bool:
        return combo in self.ready

    def cases(self, combo: Combo) -> list[Any]:
        self.ready.add(combo)
        return [(combo, number) for number in range(self.counts[combo])]

    def second_cuts(self, combo: Combo) -> Iterator[Any]:
        yield (combo, "second")


def order(ready: tuple[Combo, ...], **counts: int) -> list[Any]:
    machines: Any = Machines(ready, {A: counts["a"], B: counts["b"], C: counts["c"]})
    return list(program.in_turn(machines, (A, B, C)))


@pytest.fixture(autouse=True)
def _two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_TURN", 2)


def test_each_has_its_turn() -> None:
    found = order((A, B, C), a=3, b=2, c=1)
    assert found == [(A, 0), (A, 1), (B, 0), (B, 1), (C, 0), (A, 2), (A, "second"), (B, "second"), (C, "second")]


def test_what_is_not_ready_is_waited_for_only_where_nothing_else_is_to_be_done() -> None:
    found = order((B,), a=2, b=3, c=0)
    assert found[:5] == [(B, 0), (B, 1), (B, 2), (A, 0), (A, 1)]


def test_the_control_has_no_second_cuts() -> None:
    machines: Any = Machines((CONTROL,), {CONTROL: 1})
    assert list(program.in_turn(machines, (CONTROL,))) == [(CONTROL, 0)]
