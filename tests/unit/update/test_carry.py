# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths that are carried from slot to slot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.update import carry

from tests.support.fake_runner import FakeRunner, failed
from tests.support.layouts import resolved


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "old"
    (root / "var/lib/app/data").mkdir(parents=True)
    (root / "var/lib/app/data/file").write_bytes(b"x" * 8192)
    (root / "srv").mkdir()
    (root / "srv/one").write_text("1")
    (root / "data/big").mkdir(parents=True)
    (root / "etc").mkdir()
    return root


@pytest.fixture
def new(tmp_path: Path) -> Path:
    new = tmp_path / "new"
    (new / "etc").mkdir(parents=True)
    (new / "srv").mkdir()
    return new


def test_what_is_to_be_copied_and_what_is_wrong_with_the_list(root: Path) -> None:
    paths = ["/var/lib/app/", "/var/lib/app", "/data/big", "/etc", "relative", "/boot/x", "/var/lib/missing"]
    found = carry.look(paths, resolved("va"), root)
    assert found.paths == ("/var/lib/app",)
    assert found.bytes >= 8192
    assert [(one.id, one.severity) for one in found.findings] == [
        ("update.path_shared", "info"),
        ("update.path_refused", "refuse"),
        ("update.path_refused", "refuse"),
        ("update.path_refused", "refuse"),
        ("update.path_missing", "refuse"),
    ]


def copies(source: Path, target: Path) -> tuple[str, ...]:
    return ("cp", "--archive", "--one-file-system", "--force", "--no-target-directory", str(source), str(target))


def test_folders_on_the_way_are_made_as_they_are(root: Path, new: Path) -> None:
    (root / "var/lib").chmod(0o711)
    runner = FakeRunner(handler=lambda argv, stdin: Path(argv[-1]).mkdir())
    carry.copy(runner, ["/var/lib/app"], new, root)
    assert runner.calls == [copies(root / "var/lib/app", new / "var/lib/app")]
    assert (new / "var/lib").stat().st_mode & 0o777 == 0o711


def test_what_is_of_another_kind_in_the_payload_makes_way(root: Path, new: Path) -> None:
    (new / "srv/one").mkdir()
    runner = FakeRunner(handler=lambda argv, stdin: Path(argv[-1]).touch() if argv[0] == "cp" else os.rmdir(argv[-1]))
    carry.copy(runner, ["/srv/one"], new, root)
    assert runner.calls[0] == ("rm", "--recursive", "--force", "--one-file-system", str(new / "srv/one"))
    assert runner.calls[1] == copies(root / "srv/one", new / "srv/one")


def test_a_link_of_the_payload_leads_nowhere_outside(root: Path, new: Path) -> None:
    (new / "srv").rmdir()
    (new / "srv").symlink_to(root / "srv")
    runner = FakeRunner()
    with pytest.raises(Fault, match="carry_failed"):
        carry.copy(runner, ["/srv/one"], new, root)
    assert runner.calls == []


def test_a_failed_copy_says_what_cp_said(root: Path, new: Path) -> None:
    runner = FakeRunner(handler=failed(1, "cp: no space left"))
    with pytest.raises(Fault) as caught:
        carry.copy(runner, ["/srv/one"], new, root)
    assert caught.value.id == "update.carry_failed"
    assert "no space left" in caught.value.record()["why"]


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_owners_are_kept_by_name(root: Path, new: Path) -> None:
    (root / "etc/passwd").write_text("app:x:105:110::/:/bin/sh\nsame:x:106:106::/:/bin/sh\n")
    (root / "etc/group").write_text("app:x:110:\n")
    (new / "etc/passwd").write_text("app:x:999:998::/:/bin/sh\nsame:x:106:106::/:/bin/sh\n")
    (new / "etc/group").write_text("app:x:998:\n")

    def copy(argv: tuple[str, ...], _stdin: bytes | None) -> None:
        target = Path(argv[-1])
        target.mkdir()
        (target / "own").touch()
        os.chown(target / "own", 105, 110)
        (target / "own").chmod(0o4750)
        (target / "other").touch()
        os.chown(target / "other", 106, 0)
        (target / "link").symlink_to("/etc/passwd")
        os.chown(target / "link", 105, 110, follow_symlinks=False)

    carry.copy(FakeRunner(handler=copy), ["/var/lib/app"], new, root)
    target = new / "var/lib/app"
    owners = {name: (os.lstat(target / name).st_uid, os.lstat(target / name).st_gid) for name in os.listdir(target)}
    assert owners == {"own": (999, 998), "other": (106, 0), "link": (999, 998)}
    assert (target / "own").stat().st_mode & 0o7777 == 0o4750
