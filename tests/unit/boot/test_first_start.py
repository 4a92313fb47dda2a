# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The notes that spare a new slot the caches that it has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import first_start


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("usr", "etc", "var"):
        (tmp_path / name).mkdir()
    (tmp_path / "etc/ld.so.cache").touch()
    os.utime(tmp_path / "usr", ns=(1700000000_123456789, 1700000000_123456789))
    return tmp_path


def test_the_notes_are_as_old_as_usr(root: Path) -> None:
    assert first_start.settle(root)
    for name in ("etc", "var"):
        path = root / name / ".updated"
        assert path.stat().st_mtime_ns == 1700000000_123456789
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("gone", ["etc/ld.so.cache", "usr"])
def test_a_payload_that_was_never_settled_settles_itself(root: Path, gone: str) -> None:
    path = root / gone
    path.rmdir() if path.is_dir() else path.unlink()
    assert not first_start.settle(root)
    assert not (root / "etc/.updated").exists()
