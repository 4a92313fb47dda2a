# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In the old system again: the lifeboat is overwritten, then the root grows."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import finish

from tests.support.fake_runner import FakeRunner

from .evidence import UUID, superblock

MIB = 1 << 20
BLOCKS = 20 * 256


class Place:
    """A disk of 32 MiB, its root from the first mebibyte on, and the folder of the run."""

    def __init__(self, root, monkeypatch, blocks=BLOCKS):
        self.root = root
        (root / "dev").mkdir()
        self.disk = root / "dev/vda"
        self.disk.write_bytes(b"s" * (32 * MIB))
        (root / "dev/vda1").write_bytes(superblock(blocks=blocks))
        self.plan = {
            "run_id": "r2",
            "lifeboat": {"gaps": [[24 * MIB, MIB + 4096]]},
            "disk": {"serial": "S", "table_id": "new", "root_uuid": "new"},
            "old": {"root": {"start": MIB, "grown": 30 * 256, "uuid": UUID}},
        }
        self.asked = []

        class Part1:
            number, start_bytes = 1, MIB

        monkeypatch.setattr(finish.identity, "find", lambda runner, disk, root: self.asked.append(disk) or "/dev/vda")
        monkeypatch.setattr(finish.sysfs, "kernel_name", lambda node, root: "vda")
        monkeypatch.setattr(finish.sysfs, "partitions", lambda name, root: [Part1])


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


def test_what_it_holds_is_overwritten_before_the_root_grows(place):
    def grow(argv, stdin):
        content = place.disk.read_bytes()
        assert content[24 * MIB : 25 * MIB + 4096] == bytes(MIB + 4096)
        assert content.count(b"s") == 31 * MIB - 4096

    runner = FakeRunner(handler=grow)
    assert finish.finish(runner, place.plan, place.root) == "/dev/vda1"
    assert [tuple(argv) for argv in runner.calls] == [("resize2fs", "/dev/vda1", "7680")]


def test_the_disk_is_known_by_the_old_root(place):
    finish.pending(FakeRunner(), place.plan, place.root)
    assert place.asked == [{"serial": "S", "table_id": "", "root_uuid": UUID}]


def test_a_root_that_has_grown_is_left_alone(tmp_path, monkeypatch):
    place = Place(tmp_path, monkeypatch, blocks=30 * 256)
    assert finish.finish(FakeRunner(), place.plan, place.root) == ""
    assert place.disk.read_bytes() == b"s" * (32 * MIB)


def test_a_place_that_is_the_file_systems_by_now_is_not_written_to(tmp_path, monkeypatch):
    place = Place(tmp_path, monkeypatch, blocks=29 * 256)
    runner = FakeRunner(handler=lambda argv, stdin: None)
    assert finish.finish(runner, place.plan, place.root) == "/dev/vda1"
    assert place.disk.read_bytes() == b"s" * (32 * MIB)


def leave(root, run="r2", text=None):
    folder = root / finish.RUNS / run
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"run_id": run}) if text is None else text)
    (folder / finish.UNFINISHED).write_text("")
    return folder


def test_it_is_left_over_until_it_is_done(place):
    folder = leave(place.root)
    assert finish.left_over(place.root) == {"run_id": "r2"}
    with pytest.raises(OSError, match="stopped"):
        finish.finish(FakeRunner(handler=fail), place.plan, place.root)
    assert finish.left_over(place.root) == {"run_id": "r2"}
    finish.finish(FakeRunner(handler=lambda argv, stdin: None), place.plan, place.root)
    assert finish.left_over(place.root) is None
    assert (folder / "plan.json").exists()


def fail(argv, stdin):
    raise OSError("stopped")


def test_a_root_that_has_grown_only_loses_the_mark(tmp_path, monkeypatch):
    place = Place(tmp_path, monkeypatch, blocks=30 * 256)
    leave(tmp_path)
    assert finish.finish(FakeRunner(), place.plan, place.root) == ""
    assert finish.left_over(tmp_path) is None


def test_a_host_without_a_restore_has_nothing_left_over(tmp_path):
    (tmp_path / finish.RUNS / "r1").mkdir(parents=True)
    assert finish.left_over(tmp_path) is None


def test_a_plan_that_cannot_be_read_is_a_fault(tmp_path):
    leave(tmp_path, text="{")
    with pytest.raises(Fault) as caught:
        finish.left_over(tmp_path)
    assert caught.value.id == "revive.not_old_system"
    assert "plan.json" in caught.value.record()["what"]


def test_another_system_is_a_fault(place):
    (place.root / "dev/vda1").write_bytes(bytes(8192))
    with pytest.raises(Fault) as caught:
        finish.pending(FakeRunner(), place.plan, place.root)
    assert caught.value.id == "revive.not_old_system"
