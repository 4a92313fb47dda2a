# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Marker, target, compression and durable writes, on scratch folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive import (
    compression,
    durable,
    marker,
    restore,
    stream,
    target,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.marker import Marker
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.restore import Order
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import FakeRunner

TAR_HEAD = bytes(257) + b"ustar\0" + bytes(249)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(10), "zstd"),
        (b"\x5e\x2a\x4d\x18" + bytes(10), "zstd"),
        (b"\xfd7zXZ\x00", "xz"),
        (b"\x1f\x8b\x08", "gzip"),
        (TAR_HEAD, "none"),
        (b"PK\x03\x04", None),
        (b"", None),
    ],
)
def test_tells_compression_by_content(head: bytes, found: str | None) -> None:
    assert compression.detect(head) == found


def test_whole_command_lines() -> None:
    assert compression.decompressor("zstd") == ("zstd", "-q", "-dc", "--long=31")
    assert compression.decompressor("none") == ()
    assert stream.tar_argv(Path("/t")) == (
        "tar",
        "--extract",
        "--file=-",
        "--directory=/t",
        "--numeric-owner",
        "--same-owner",
        "--preserve-permissions",
        "--xattrs",
        "--xattrs-include=*",
        "--selinux",
        "--record-size=1M",
        "--warning=no-timestamp",
    )


def test_marker_survives_a_round_and_a_broken_one_counts_as_incomplete(tmp_path: Path) -> None:
    assert marker.read(tmp_path) is None
    marker.write(tmp_path, Marker("complete", "ab", True))
    assert marker.read(tmp_path) == Marker("complete", "ab", True)
    (tmp_path / marker.NAME).write_text("{")
    assert marker.read(tmp_path) == Marker("incomplete")
    marker.remove(tmp_path)
    marker.remove(tmp_path)
    assert os.listdir(tmp_path) == []


def test_write_file_replaces_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    (tmp_path / "f.new").write_text("left by a crash")
    durable.write_file(path, b"one", 0o644)
    durable.write_file(path, b"two", 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o600)
    assert os.listdir(tmp_path) == ["f"]


def test_what_occupies_a_target_and_what_emptying_leaves(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / marker.NAME).write_text("{}")
    assert list(target.occupants(tmp_path)) == []
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("/etc")
    assert list(target.occupants(tmp_path)) == ["a", "link"]
    target.empty(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [marker.NAME, "lost+found"]
    assert os.path.isdir("/etc")


def test_mounts_below_are_no_content_and_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = tmp_path / "boot/dispatch"
    mounted.mkdir(parents=True)
    (mounted / "state").write_text("s")
    (tmp_path / "boot/vmlinuz").write_text("k")
    real = os.lstat

    def lstat(path: str) -> object:
        found = real(path)
        if str(path) != str(mounted):
            return found
        return os.stat_result((found.st_mode, found.st_ino, found.st_dev + 1, *found[3:]))

    monkeypatch.setattr(os, "lstat", lstat)
    assert list(target.occupants(tmp_path)) == ["boot"]
    target.empty(tmp_path)
    assert list(target.occupants(tmp_path)) == []
    assert (mounted / "state").read_text() == "s"


def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.tar"
    path.write_bytes(TAR_HEAD)
    return path


def test_checks_before_the_first_write(tmp_path: Path) -> None:
    place = tmp_path / "t"
    order = Order(archive(tmp_path), place)
    with pytest.raises(Fault) as caught:
        restore.check(order)
    assert caught.value.id == "archive.no_target"
    place.mkdir()
    assert restore.check(order) == "none"
    with pytest.raises(Fault) as caught:
        restore.check(Order(order.source, place, unpacked_bytes=1 << 60))
    assert caught.value.id == "archive.no_space"
    (place / "file").touch()
    with pytest.raises(Fault) as caught:
        restore.check(order)
    assert caught.value.id == "archive.not_empty"
    assert restore.check(Order(order.source, place, existing="erase")) == "none"
    marker.write(place, Marker("incomplete"))
    assert restore.check(order) == "none"


def test_a_complete_restore_is_not_repeated(tmp_path: Path) -> None:
    place = tmp_path / "t"
    place.mkdir()
    marker.write(place, Marker("complete", "ab"))
    done = restore.restore(FakeRunner({}), Order(archive(tmp_path), place, sha256="ab"))
    assert (done.changed, done.digest, done.bytes) == (False, "ab", 512)
    assert not restore.is_done(Order(archive(tmp_path), place, sha256="cd"))


def test_limit_leaves_room_for_headers() -> None:
    assert restore.unpacked_limit(1000 << 20) == (1100 << 20) + (64 << 20)
