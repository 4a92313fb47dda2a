# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may take a lock, and what is said of one that is held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils import lock

ME = lock.Holder("jane@desk", "desk 1111", 100, "5000", "run-2")
HELD = lock.Lock(lock.Holder("joe@office", "office 2222", 100, "7000", "run-1"), created=1000, expires=2000)


def text(found: lock.Lock) -> str:
    return f'{lock.show(found.holder)},"created":{found.created},"expires":{found.expires}}}'


def gone(_holder: lock.Holder) -> bool:
    return False


def running(_holder: lock.Holder) -> bool:
    return True


def test_a_lock_is_read_as_it_was_written() -> None:
    assert lock.read(text(HELD)) == HELD


ENDLESS = text(HELD).replace("2000}", "Infinity}")


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", "null", "{}", '{"owner": 1}', "[" * 100000, text(HELD)[:-4], ENDLESS]
)
def test_a_text_that_is_no_lock_holds_nobody_back(damaged: str) -> None:
    assert lock.read(damaged) is None
    assert lock.may_take(None, ME, 1500, running)


@pytest.mark.parametrize(
    ("change", "now", "alive", "may"),
    [
        ({}, 1500, running, False),
        ({}, 1500, gone, False),
        ({}, 2000, running, True),
        ({"run_id": "run-2"}, 1500, running, True),
        ({"controller": "desk 1111", "process": 99}, 1500, running, False),
        ({"controller": "desk 1111", "process": 99}, 1500, gone, True),
        ({"controller": "desk 1111"}, 1500, running, True),
    ],
    ids=["another controller", "whose processes are unknown", "expired", "own run", "neighbour", "killed", "itself"],
)
def test_who_may_take_it(change: dict[str, Any], now: int, alive: Any, may: bool) -> None:
    found = replace(HELD, holder=replace(HELD.holder, **change))
    assert lock.may_take(found, ME, now, alive) is may


def test_the_fault_names_owner_run_and_expiry_and_how_to_break_it() -> None:
    record = lock.fault(HELD).record()
    assert record["id"] == "migrate.locked"
    assert "joe@office, run run-1" in record["what"]
    assert "1970-01-01 00:33:20 UTC" in record["what"]
    assert "dualroot_break_lock=true" in record["how"]
    assert lock.fault(None).record()["what"]
    assert lock.to_document(None) is None
