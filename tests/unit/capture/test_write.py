# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The writer of files into a root, cut off in the midst of one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.write import Writer

PATH = "/etc/ssh/ssh_host_ed25519_key"


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("left", ["a file", "a link"])
def test_what_a_power_cut_has_left_is_gone_after_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    names: list[Path] = []

    def cut(source: Path, _target: Path) -> None:
        names.append(Path(source))
        raise PowerCut

    uid, gid = os.getuid(), os.getgid()
    with monkeypatch.context() as context:
        context.setattr(os, "replace", cut)
        with pytest.raises(PowerCut):
            Writer(tmp_path).file(PATH, "the key\n", mode=0o600, uid=uid, gid=gid)
    if left == "a file":
        names[0].write_text("the k")
    else:
        names[0].symlink_to("/etc/passwd")
    writer = Writer(tmp_path)
    assert writer.file(PATH, "the key\n", mode=0o600, uid=uid, gid=gid)
    assert writer.written == [PATH]
    target = tmp_path / PATH.lstrip("/")
    assert [one.name for one in target.parent.iterdir()] == [target.name]
    assert target.read_text() == "the key\n"
    assert stat.S_IMODE(target.lstat().st_mode) == 0o600 and target.is_file() and not target.is_symlink()


def test_links_come_into_being_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_source: Path, _target: Path) -> None:
        raise PowerCut

    with monkeypatch.context() as context:
        context.setattr(os, "replace", cut)
        with pytest.raises(PowerCut):
            Writer(tmp_path).link("/etc/localtime", "/usr/share/zoneinfo/UTC")
    assert Writer(tmp_path).link("/etc/localtime", "/usr/share/zoneinfo/UTC")
    assert [one.name for one in (tmp_path / "etc").iterdir()] == ["localtime"]
