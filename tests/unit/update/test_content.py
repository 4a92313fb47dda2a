# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The content of a slot as one digest, and what is expected of it."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.update import content


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tool").write_bytes(b"tool")
    os.link(tmp_path / "usr/bin/tool", tmp_path / "usr/bin/other")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("gw1\n")
    (tmp_path / "lost+found").mkdir()
    return tmp_path


def streamed(tree: Path) -> dict[bytes, bytes]:
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    return {os.fsencode(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).digest() for path in files}


def test_the_same_tree_has_the_same_digest(tree: Path) -> None:
    seen: list[int] = []
    found = content.read(tree, seen.append)
    assert found == content.read(tree)
    assert b"lost+found" not in found.entries
    assert sorted(found.entries) == [
        b"bin",
        b"etc",
        b"etc/hostname",
        b"usr",
        b"usr/bin",
        b"usr/bin/other",
        b"usr/bin/tool",
    ]
    # Hard links are read once.
    assert (found.bytes, seen[-1], len(seen)) == (8, 8, 2)


@pytest.mark.parametrize("change", ["content", "mode", "link", "new", "gone"])
def test_any_change_is_another_digest(tree: Path, change: str) -> None:
    before = content.read(tree)
    if change == "content":
        (tree / "etc/hostname").write_text("gw2\n")
    elif change == "mode":
        (tree / "etc/hostname").chmod(0o600)
    elif change == "link":
        (tree / "bin").unlink()
        (tree / "bin").symlink_to("usr/sbin")
    elif change == "new":
        (tree / "etc/new").touch()
    else:
        (tree / "etc/hostname").unlink()
    after = content.read(tree)
    assert after.sha256 != before.sha256
    wanted = {"link": "bin", "new": "etc/new"}.get(change, "etc/hostname")
    assert before.differences(after) == [wanted]


def test_what_the_stream_said_is_what_is_expected_of_the_disk(tree: Path) -> None:
    expected = content.Expected(tree, streamed(tree)).content()
    assert expected.differences(content.read(tree)) == []
    # Another byte on the disk under the same change time: what a disk does, and no program can.
    lying = {**streamed(tree), b"etc/hostname": b"\0" * 32}
    assert content.Expected(tree, lying).content().differences(content.read(tree)) == ["etc/hostname"]


def test_files_made_or_changed_after_the_restore_count_as_they_are(tree: Path) -> None:
    expected = content.Expected(tree, streamed(tree))
    time.sleep(0.02)
    (tree / "etc/hostname").write_text("changed\n")
    (tree / "etc/new").write_text("new\n")
    (tree / "usr/bin/tool").unlink()
    assert expected.content().differences(content.read(tree)) == []


def test_a_sparse_file_without_a_digest_of_the_stream_is_read(tree: Path) -> None:
    known = streamed(tree)
    with (tree / "disk").open("wb") as file:
        file.truncate(1 << 20)
    assert content.Expected(tree, known).content().differences(content.read(tree)) == []
