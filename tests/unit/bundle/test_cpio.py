# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import io
import os
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils import newc
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import cpio


def make(root: Path, names: list[str], time: int) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("link"):
            path.symlink_to("../target")
        else:
            path.write_bytes(name.encode() * 3)
            path.chmod(0o755 if name.endswith("x") else 0o644)
            os.utime(path, (time, time))
    return root


def packed(root: Path) -> tuple[bytes, int]:
    output = io.BytesIO()
    size = cpio.write(root, output, 1000)
    return output.getvalue(), size


def entries(data: bytes) -> dict[str, dict[str, int]]:
    """Read the archive as Documentation/driver-api/early-userspace/buffer-format.rst describes it."""
    fields = [
        "ino",
        "mode",
        "uid",
        "gid",
        "nlink",
        "mtime",
        "filesize",
        "maj",
        "min",
        "rmaj",
        "rmin",
        "namesize",
        "chksum",
    ]
    found, at = {}, 0
    while True:
        assert data[at : at + 6] == b"070701"
        values = {name: int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i, name in enumerate(fields)}
        name = data[at + 110 : at + 110 + values["namesize"] - 1].decode()
        at += -(-(110 + values["namesize"]) // 4) * 4
        values["at"] = at
        at += -(-values["filesize"] // 4) * 4
        if name == newc.TRAILER:
            return found
        found[name] = values


def test_equal_trees_give_equal_bytes_whatever_their_history(tmp_path: Path) -> None:
    names = ["b/one", "a/two-x", "a/link", "c"]
    first = make(tmp_path / "first", names, 111)
    second = make(tmp_path / "second", names[::-1], 222)
    assert packed(first) == packed(second)


def test_names_are_sorted_folders_come_first_and_nothing_of_the_builder_is_left(tmp_path: Path) -> None:
    data, size = packed(make(tmp_path, ["b/one", "a/two-x", "a/link", "c"], 5))
    found = entries(data)
    assert list(found) == ["a", "a/link", "a/two-x", "b", "b/one", "c"]
    assert [entry["ino"] for entry in found.values()] == [1, 2, 3, 4, 5, 6]
    assert {(entry["uid"], entry["gid"], entry["mtime"]) for entry in found.values()} == {(0, 0, 1000)}
    assert found["a/two-x"]["mode"] == 0o100755
    assert found["a/link"]["mode"] == 0o120777
    start = found["b/one"]["at"]
    assert data[start : start + 15] == b"b/oneb/oneb/one"
    assert size == 3 * 4096
    assert len(data) % 512 == 0
