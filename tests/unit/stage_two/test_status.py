# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.status import Status

from .stage import MIB, Stage


def test_has_every_field_from_the_first_write_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    Status(stage.machine, "r", "convert", "d").begin_phase("attach")
    assert stage.status == {
        "run_id": "r",
        "mode": "convert",
        "state": "running",
        "phase": "attach",
        "step": "",
        "percent": 0,
        "bytes_done": 0,
        "bytes_total": 0,
        "ram_used_bytes": 100 * MIB,
        "ram_peak_bytes": 100 * MIB,
        "resumed": 0,
        "message": "begins",
        "fault": None,
        "boot_id": "boot-1",
        "updated": 2000.0,
        "plan_digest": "d",
    }


def test_progress_is_written_now_and_then_and_said_every_ten_percent(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    status = Status(stage.machine)
    status.begin_phase("load")
    stage.lines.clear()
    for done in range(101):
        stage.sleep(0.5)
        status.progress(done * MIB, 100 * MIB)
    assert stage.status["percent"] == 100
    assert stage.lines[0] == "dualroot: load: 10 %, 10 MiB of 100 MiB, RAM 100 MiB"
    assert len(stage.lines) == 10


def test_keeps_the_peak(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    status = Status(stage.machine)
    stage.memory(1000 * MIB, 300 * MIB)
    status.show()
    stage.memory(1000 * MIB, 800 * MIB)
    status.show()
    assert (stage.status["ram_used_bytes"], status.ram_peak_bytes) == (200 * MIB, 700 * MIB)


def test_samples_in_the_background(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    status = Status(stage.machine)
    status.start_sampling()
    status.stop_sampling()
    assert not status._sampler.is_alive()  # type: ignore[union-attr]
