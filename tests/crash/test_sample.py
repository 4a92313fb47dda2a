# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A sample of the crash matrix: the same states every time, spread over machines, stages and steps.

The whole matrix is ``make soak``.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bundles import build_bundle

from . import combos, prepare, soak, states

SEED = 7
#: Machines and states of each; together at least 40, in less than 15 minutes on two idle processors.
MACHINES = {
    "bios-virtio-ext4-mbr-va": 15,
    "bios-sata-xfs-gpt-va": 13,
    "uefi-nvme-ext4-gpt-dual": 13,
}
#: Longer than it may take, so that a slow machine is told from a hang.
LIMIT_SECONDS = 3600

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("qemu-system-x86_64") is None, reason="needs root, loop devices and QEMU"
)


@pytest.fixture(scope="module")
def built() -> Path:
    chosen = os.environ.get("DUALROOT_TEST_BUNDLE")
    return Path(chosen) if chosen else build_bundle("debian13-va").folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("crash")
    yield folder
    # Images of gigabytes, which a passed test has no use for.
    shutil.rmtree(folder, ignore_errors=True)


def _sample(prepared: prepare.Prepared, wanted: int) -> list[soak.Case]:
    """Choose states so that every phase of stage two and the staging have some."""
    every = soak.cases(prepared, SEED, 200)
    recording = prepared.recordings["stage-two"]
    # The last of all is after the hand-over: the new system's turn.
    groups = {"end": [soak.Case(recording, states.Point(len(recording.log.entries) - 1, "prefix"))]}
    for case in every:
        groups.setdefault(case.recording.steps[case.point.at].split(".")[0], []).append(case)
    found: list[soak.Case] = []
    while len(found) < wanted:
        for cases in groups.values():
            if cases:
                found.append(cases.pop())
    return found[:wanted]


def _prepare(name: str, work: Path, built: Path) -> prepare.Prepared:
    return prepare.prepare(combos.find(name), work, built, own_engine="DUALROOT_OWN_ENGINE" in os.environ)


@pytest.fixture(scope="module")
def lines(built: Path, work: Path) -> list[dict[str, Any]]:
    """Start all states, those of the control among them."""
    names = [*MACHINES, combos.CONTROL.name]
    with ThreadPoolExecutor(2) as pool:
        ready = dict(zip(names, pool.map(lambda name: _prepare(name, work, built), names)))
    items = [(ready[name], case) for name, wanted in MACHINES.items() for case in _sample(ready[name], wanted)]
    items += [(ready[combos.CONTROL.name], case) for case in _control(ready[combos.CONTROL.name])]
    results = soak.Results(work / "results.jsonl")
    with soak.scratch_folder(work) as scratch:
        return list(soak.run_all(iter(items), results, scratch, soak.JOBS, time.monotonic() + LIMIT_SECONDS))


def _control(prepared: prepare.Prepared) -> list[soak.Case]:
    """Choose two cuts in the midst of the way, where without a lifeboat there is no way out."""
    recording = prepared.recordings["stage-two"]
    inside = [index for index, step in enumerate(recording.steps) if step.startswith(("restore", "configure"))]
    return [soak.Case(recording, states.Point(index, "prefix")) for index in (inside[0], inside[-1])]


def test_a_sample_of_power_cuts_loses_no_host(lines: list[dict[str, Any]]) -> None:
    found = [line for line in lines if line["combo"] in MACHINES]
    assert len(found) == sum(MACHINES.values()) >= 40
    wrong = [line for line in found if not line["ok"]]
    assert not wrong, wrong
    # Every state but the last few lacks something that the undisturbed run wrote: the cut was one.
    assert sum(bool(line["proof"]["lacks"]) for line in found) > 0.8 * len(found)
    assert {"OLD", "NEW", "RESUME"} <= {line["class"] for line in found}


def test_without_a_lifeboat_the_same_cuts_lose_the_host(lines: list[dict[str, Any]]) -> None:
    """The control: the harness finds the hosts that a power cut does lose."""
    assert [line["class"] for line in lines if line["combo"] == combos.CONTROL.name] == ["BRICK", "BRICK"]


def test_cuts_of_boots_of_a_good_slot(lines: list[dict[str, Any]], built: Path, work: Path) -> None:
    one = _prepare(next(iter(MACHINES)), work, built)
    with soak.scratch_folder(work) as scratch:
        line = soak.cut_boots(one, scratch, cuts=10, seed=SEED)
    assert line["class"] == "NEW", line
