# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of the fault matrix that stage two alone can show, on small disks; all of them with ``DUALROOT_SOAK``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bundles import build_bundle
from tests.support import matrix

from . import combos, faults, prepare, soak

MACHINE = "bios-virtio-ext4-mbr-va"
#: One before the point of no return, one behind it, one that goes by.
SAMPLE = ("disks: two with the same serial", "write errors: table", "write error, once: table")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("qemu-system-x86_64") is None, reason="needs root, loop devices and QEMU"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[prepare.Prepared]:
    chosen = os.environ.get("DUALROOT_TEST_BUNDLE")
    built = Path(chosen) if chosen else build_bundle("debian13-va").folder
    kept = os.environ.get("DUALROOT_FAULTS_WORK")
    work = Path(kept) if kept else tmp_path_factory.mktemp("faults")
    yield prepare.prepare(combos.find(MACHINE), work, built, own_engine="DUALROOT_OWN_ENGINE" in os.environ)
    if not kept:
        shutil.rmtree(work, ignore_errors=True)


@pytest.mark.parametrize("row", faults.ROWS, ids=[row.name for row in faults.ROWS])
def test_row(prepared: prepare.Prepared, row: faults.Row) -> None:
    if row.name not in SAMPLE and not os.environ.get("DUALROOT_SOAK"):
        pytest.skip("one of the long matrices")
    with soak.scratch_folder(prepared.folder) as scratch:
        line = faults.run_row(prepared, row, scratch)
        said = (scratch / "serial.log").read_text()[-3000:]
    assert not line["problem"], f"{line}\n{said}"
    matrix.record(row.name, line["outcome"], line["proof"], "stage two under QEMU", row.fault)
