# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore does to the disk; the disk is a file, the commands are not run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import signatures
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.revive import disk

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import resolved

ROOT = {"start": 1 << 20, "length": 8 << 20, "options": ["-b", "4096", "-U", "u"], "blocks": 2048, "block_bytes": 4096}


def test_the_old_root_is_made_with_its_own_options():
    assert disk.make_argv("/dev/mapper/x", ROOT) == [
        *("mkfs.ext4", "-q", "-F", "-b", "4096", "-U", "u", "/dev/mapper/x", "2048"),
    ]
    assert disk.make_argv("/dev/vda", ROOT, dry=True)[:3] == ["mkfs.ext4", "-n", "-F"]


def test_the_rehearsal_makes_it_on_a_file_of_its_size_without_writing(monkeypatch):
    seen = []

    def answer(argv, stdin):
        if argv[0] == "mkfs.ext4":
            image = Path(argv[-2])
            seen.append((tuple(argv[:3]), image.stat().st_size, image.stat().st_blocks))

    monkeypatch.setattr(signatures, "check", lambda runner, node, groups: seen.append((node, *groups)))
    disk.check(FakeRunner(handler=answer), "/dev/vda", resolved(), {"root": ROOT})
    assert seen[1:] == [(("mkfs.ext4", "-n", "-F"), 8 << 20, 0)]
    assert seen[0] == ("/dev/vda", *(group.name for group in resolved().volume_groups))


def test_its_place_is_mapped_once(tmp_path):
    table = "0 16384 linear /dev/vda 2048"
    runner = FakeRunner({("dmsetup", "create", "old", "--table", table): None})
    disk.map_root(runner, "/dev/vda", "old", ROOT, root=tmp_path)
    (tmp_path / "dev/mapper").mkdir(parents=True)
    (tmp_path / "dev/mapper/old").touch()
    disk.map_root(runner, "/dev/vda", "old", ROOT, root=tmp_path)
    assert len(runner.calls) == 1


def test_it_is_unmapped_where_it_is_mapped(tmp_path):
    runner = FakeRunner({("dmsetup", "remove", "--retry", "old"): None})
    disk.unmap_root(runner, "old", root=tmp_path)
    assert runner.calls == []
    (tmp_path / "dev/mapper").mkdir(parents=True)
    (tmp_path / "dev/mapper/old").touch()
    disk.unmap_root(runner, "old", root=tmp_path)
    assert len(runner.calls) == 1


def test_all_groups_of_the_layout_are_deactivated():
    runner = FakeRunner(handler=lambda argv, stdin: None)
    disk.deactivate(runner, resolved())
    assert [tuple(argv) for argv in runner.calls] == [
        ("lvm", "vgchange", "--activate", "n", group.name) for group in resolved().volume_groups
    ]


def test_what_is_put_back_is_read_back(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(bytes(4096))
    disk.put_back(str(path), 512, b"x" * 512)
    assert path.read_bytes() == bytes(512) + b"x" * 512 + bytes(3072)


def test_the_backup_of_the_converted_table_goes(tmp_path):
    path = tmp_path / "disk"
    path.write_bytes(b"y" * 4096)
    disk.clear(str(path), [[3072, 1024]])
    assert path.read_bytes() == b"y" * 3072 + bytes(1024)


def test_a_piece_is_compared_with_the_plan(tmp_path):
    (tmp_path / "0.bin").write_bytes(b"z" * 512)
    wanted = {"file": "start.bin", "length": 512, "sha256": hashlib.sha256(b"z" * 512).hexdigest()}
    assert disk.piece(tmp_path, 0, wanted) == b"z" * 512
    for number, changed in ((0, {"sha256": "0" * 64}), (0, {"length": 1024}), (1, {})):
        with pytest.raises(Fault) as caught:
            disk.piece(tmp_path, number, {**wanted, **changed})
        assert caught.value.id == "revive.piece_damaged"
