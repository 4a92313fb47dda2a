# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Progress, memory, and where the payload comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.update.http import Download
from ansible_collections.dualroot.migrate.plugins.module_utils.update.payload import source_of
from ansible_collections.dualroot.migrate.plugins.module_utils.update.progress import Memory, Progress

PAYLOAD = {"file": "payload/rootfs.tar.zst", "size": 7}


def test_phases_have_their_time_also_where_they_fail(tmp_path: Path) -> None:
    times = iter([10.0, 12.5, 20.0, 21.0])
    progress = Progress("run", tmp_path / "sub/update.json", clock=lambda: next(times))
    with progress.phase("restore"):
        progress.bytes(50, 200)
    with pytest.raises(ValueError, match="x"), progress.phase("check"):
        raise ValueError("x")
    assert progress.phases == [
        {"name": "restore", "started": 10.0, "seconds": 2.5},
        {"name": "check", "started": 20.0, "seconds": 1.0},
    ]
    shown = json.loads((tmp_path / "sub/update.json").read_text())
    assert (shown["run_id"], shown["phase"], shown["percent"]) == ("run", "check", 0)


def test_the_end_of_a_step_is_always_shown(tmp_path: Path) -> None:
    progress = Progress("run", tmp_path / "update.json")
    progress.bytes(1, 200)
    progress.bytes(2, 200)
    assert json.loads((tmp_path / "update.json").read_text())["bytes"] == 1
    progress.bytes(200, 200)
    assert json.loads((tmp_path / "update.json").read_text())["percent"] == 100


def test_a_status_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Progress("run", tmp_path / "file/update.json").step("x")


def test_memory_counts_the_process_and_all_below_it(tmp_path: Path) -> None:
    own = os.getpid()
    for process, kib, children in ((own, 30000, "71 72"), (71, 8000, "73"), (72, 900, ""), (73, 5, "")):
        task = tmp_path / f"{process}/task/{process}"
        task.mkdir(parents=True)
        (task / "children").write_text(children)
        (tmp_path / f"{process}/status").write_text(f"Name:\tx\nVmRSS:\t{kib} kB\n")
    with Memory(tmp_path) as memory:
        (tmp_path / f"{own}/status").write_text("VmRSS:\t10 kB\n")
        memory.look()
    assert memory.peak == (30000 + 8000 + 900 + 5) * 1024


def test_the_payload_is_an_address_a_folder_or_a_file(tmp_path: Path) -> None:
    found = source_of("https://example.com/b/", PAYLOAD)
    assert isinstance(found, Download)
    assert (found.address, found.size) == ("https://example.com/b/payload/rootfs.tar.zst", 7)
    with pytest.raises(Fault, match="boot.source_missing"):
        source_of(str(tmp_path), PAYLOAD)
    flat = tmp_path / "rootfs.tar.zst"
    flat.touch()
    assert source_of(str(tmp_path), PAYLOAD) == flat == source_of(str(flat), PAYLOAD)
    whole = tmp_path / "payload/rootfs.tar.zst"
    whole.parent.mkdir()
    whole.touch()
    assert source_of(str(tmp_path), PAYLOAD) == whole
