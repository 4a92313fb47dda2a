# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import tree
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from .test_elf import program


@pytest.fixture
def full(tmp_path: Path) -> Path:
    root = tmp_path / "full"
    program(root / "usr/bin/tool", ["libone.so"])
    (root / "usr/bin/tool").chmod(0o4755)
    (root / "usr/bin/alias").symlink_to("/usr/bin/tool")
    program(root / "usr/lib/x86_64-linux-gnu/libone.so", [])
    program(root / "usr/lib/x86_64-linux-gnu/libunused.so", [])
    for name in ("usr/share/data/a", "usr/share/data/b.pyc", "usr/share/data/sub/c", "usr/share/other"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())


def test_only_what_is_named_and_needed_is_kept(full: Path, tmp_path: Path) -> None:
    selection = tree.Selection(["alias"], ["usr/share/data"], ["*.pyc"], [])
    target = tmp_path / "root"
    tree.copy(full, target, tree.select(full, selection))
    tree.normalise(target)
    assert names(target) == [
        "usr/bin/alias",
        "usr/bin/tool",
        "usr/lib/x86_64-linux-gnu/libone.so",
        "usr/share/data/a",
        "usr/share/data/sub/c",
    ]
    assert os.readlink(target / "usr/bin/alias") == "/usr/bin/tool"
    assert (target / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755


def test_everything_that_is_missing_is_said_at_once(full: Path) -> None:
    selection = tree.Selection(["tool", "absent"], ["usr/share/none*"], (), ["libgone.so"])
    with pytest.raises(Fault) as caught:
        tree.select(full, selection)
    assert caught.value.id == "bundle.program_missing"
    assert "absent, usr/share/none*, libgone.so" in caught.value.what


def test_an_overlay_wins_and_links_do_not(full: Path, tmp_path: Path) -> None:
    target, own = tmp_path / "root", tmp_path / "own"
    (target / "etc").mkdir(parents=True)
    (target / "etc/issue").symlink_to("elsewhere")
    (own / "etc").mkdir(parents=True)
    (own / "etc/issue").write_text("ours")
    tree.overlay(own, target)
    tree.links(target, {"etc/issue": "no", "var/run": "../run"})
    assert (target / "etc/issue").read_text() == "ours"
    assert os.readlink(target / "var/run") == "../run"


def test_the_digest_of_a_folder_knows_content_and_not_history(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "sub").mkdir(parents=True)
        (folder / "sub/file").write_text("x")
    (tmp_path / "two/empty").mkdir()
    os.utime(tmp_path / "two/sub/file", (5, 5))
    first = tree.digest(tmp_path / "one")
    assert tree.digest(tmp_path / "two") == first
    (tmp_path / "two/sub/file").chmod(0o755)
    assert tree.digest(tmp_path / "two") != first
