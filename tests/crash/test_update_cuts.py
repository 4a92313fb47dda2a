# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sample of the power cuts of an update and a rollback; ``python -m tests.crash.update`` does more of them."""

from __future__ import annotations

import os

import pytest

from tests.lab.cache import cache_folder

from . import host_cuts, update
from .host_cuts import Line, Recorded

SEED = 1
#: States looked at, and how many of each part are started too: a start takes a minute under emulation.
STATES, STARTED = (60, 12) if os.environ.get("DUALROOT_SOAK") else (14, 1)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """An undisturbed update and rollback of a converted host, every write logged."""
    return update.record(cache_folder().parent / "crash")


@pytest.fixture(scope="module")
def lines(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> list[Line]:
    kept = os.environ.get("DUALROOT_UPDATE_RESULTS", "")
    return host_cuts.sample(recorded, SEED, STATES, STARTED, tmp_path_factory.mktemp("cuts"), kept)


def test_update_and_rollback_write_where_they_must_and_nowhere_else(recorded: Recorded) -> None:
    log = recorded.log
    written = {
        part: {recorded.region(entry) for entry in log.entries[first:last] if entry.kind == "write"}
        for part, (first, last) in recorded.parts.items()
    }
    # The boot sector, the partition table, the core image and LVM's own data are not among them.
    assert {"a", "b", "dispatch"} <= written["update"] <= {"a", "b", "dispatch", "data", "image"}
    assert {"dispatch"} <= written["rollback"] <= {"a", "b", "dispatch", "data", "image"}


def test_the_slot_is_marked_bad_before_it_is_written(recorded: Recorded) -> None:
    first, last = recorded.parts["update"]
    control = host_cuts.control_writes(recorded.log, first, last)
    said = [host_cuts.state_in(recorded.log, index, "b") for index in control]
    # Two copies of each; from trying on GRUB counts as well.
    assert said[0] == "bad" and said[-1] == "good" and "trying" in said
    entries = enumerate(recorded.log.entries[first:last], first)
    filled = [index for index, entry in entries if entry.kind == "write" and recorded.region(entry) == "b"]
    begun = control[said.count("bad") - 1]
    tried = control[said.index("trying")]
    assert begun < filled[0]
    before_the_trial = [index for index in filled if index < tried]
    assert sum(recorded.log.entries[index].length for index in before_the_trial) > 100 << 20


def test_no_power_cut_loses_the_good_slot(lines: list[Line]) -> None:
    assert len(lines) == STATES
    wrong = [line for line in lines if not line["ok"]]
    assert not wrong, wrong
    assert sum(bool(line["proof"]["lacks"]) for line in lines) > 0.8 * len(lines)
    assert {line["class"] for line in lines} == {"KEPT", "NEW"}
    assert sum(line["started"] for line in lines) >= 2 * STARTED
