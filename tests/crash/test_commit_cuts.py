# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sample of the power cuts of a first start and a commit; ``python -m tests.crash.commit`` does more of them.

With ``DUALROOT_SOAK`` only: it begins with a whole migration.
"""

from __future__ import annotations

import os

import pytest

from tests.lab.cache import cache_folder

from . import commit, host_cuts, states
from .host_cuts import Line, Recorded

pytestmark = pytest.mark.skipif(not os.environ.get("DUALROOT_SOAK"), reason="only with DUALROOT_SOAK=1: it takes long")

SEED = 1
STATES, STARTED = 24, 2


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """An undisturbed first start and commit, every write logged."""
    return commit.record(cache_folder().parent / "crash")


@pytest.fixture(scope="module")
def lines(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    return host_cuts.sample(recorded, SEED, STATES, STARTED, tmp_path_factory.mktemp("cuts"))


def test_a_first_start_writes_nothing_but_its_own(recorded: Recorded) -> None:
    first, last = recorded.parts["first start"]
    written = {recorded.region(entry) for entry in recorded.log.entries[first:last] if entry.kind == "write"}
    # Not to the boot sector, the table, the core image, LVM's own data, or where the other slot will be.
    assert {"a", "dispatch"} <= written <= {"a", "data", "dispatch", "image"}


def test_the_slot_is_good_before_the_table_changes(recorded: Recorded) -> None:
    log, (first, last) = recorded.log, recorded.parts["commit"]
    good = [
        index for index in host_cuts.control_writes(log, first, last) if host_cuts.state_in(log, index, "a") == "good"
    ]
    switched = [
        index for index in range(first, last) if states.is_table(log.entries[index], recorded.layout.disk_bytes)
    ]
    # Both copies of the state, then both tables.
    assert len(good) >= 2 and len(switched) >= 4
    assert max(good[:2]) < min(switched)


def test_no_power_cut_loses_the_new_system(lines: list[Line]) -> None:
    assert len(lines) == STATES
    wrong = [line for line in lines if not line["ok"]]
    assert not wrong, wrong
    assert sum(bool(line["proof"]["lacks"]) for line in lines) > 0.8 * len(lines)
    assert {line["part"] for line in lines} == {"first start", "commit"}
    assert sum(line["started"] for line in lines) == 2 * STARTED
