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
from pathlib import Path

import pytest

from tests.lab.bundles import build_bundle

from . import combos, prepare, recorder, soak, states

SEED = 7
#: Machines and states of each; together at least 40, in less than 15 minutes on two idle processors.
MACHINES = {
    "bios-virtio-ext4-mbr-va": 15,
    "bios-sata-xfs-gpt-dual": 13,
    "uefi-nvme-ext4-gpt-dual": 13,
}
CONTROL_POINTS = 2

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
    groups: dict[str, list[soak.Case]] = {}
    for case in every:
        groups.setdefault(case.recording.steps[case.point.at].split(".")[0], []).append(case)
    found: list[soak.Case] = []
    while len(found) < wanted:
        for cases in groups.values():
            if cases:
                found.append(cases.pop())
    return found[:wanted]


def test_a_sample_of_power_cuts_loses_no_host(built: Path, work: Path) -> None:
    started = time.monotonic()
    items = []
    for name, wanted in MACHINES.items():
        one = prepare.prepare(combos.find(name), work, built, own_engine="DUALROOT_OWN_ENGINE" in os.environ)
        items += [(one, case) for case in _sample(one, wanted)]
    results = soak.Results(work / "results.jsonl")
    with soak.scratch_folder(work) as scratch:
        lines = list(soak.run_all(iter(items), results, scratch, 2, started + 3600))
    assert len(lines) >= 40
    wrong = [line for line in lines if not line["ok"]]
    assert not wrong, wrong
    # Every state but the last few lacks something that the undisturbed run wrote: the cut was one.
    assert sum(bool(line["proof"]["lacks"]) for line in lines) > 0.8 * len(lines)
    assert {"OLD", "NEW", "RESUME"} <= {line["class"] for line in lines}


def test_without_a_lifeboat_the_classes_tell(built: Path, work: Path) -> None:
    """The control: the same harness finds the hosts that a power cut does lose."""
    one = prepare.prepare(combos.CONTROL, work, built, own_engine="DUALROOT_OWN_ENGINE" in os.environ)
    recording = one.recordings["stage-two"]
    inside = [index for index, step in enumerate(recording.steps) if step.startswith(("restore", "configure"))]
    chosen = [states.Point(inside[0], "prefix"), states.Point(inside[-1], "prefix")][:CONTROL_POINTS]
    with soak.scratch_folder(work) as scratch:
        found = [soak.run_case(one, soak.Case(recording, point), scratch)["class"] for point in chosen]
    assert found == ["BRICK"] * len(chosen)


@pytest.mark.skipif(not recorder.can_export(), reason="needs FUSE to log what stage one writes")
def test_cuts_of_boots_of_a_good_slot(built: Path, work: Path) -> None:
    one = prepare.prepare(combos.find("bios-virtio-ext4-mbr-va"), work, built)
    with soak.scratch_folder(work) as scratch:
        line = soak.cut_boots(one, scratch, cuts=10, seed=SEED)
    assert line["class"] == "NEW", line
