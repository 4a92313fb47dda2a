# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import manifest, write
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from . import bundles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bundles.make(tmp_path / "bundle")


@pytest.fixture
def document(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_bytes())


def test_what_is_written_is_read_again(folder: Path, document: dict[str, Any]) -> None:
    loaded = manifest.load(document)
    assert manifest.to_document(loaded) == document
    assert loaded.payload.file.file == "payload/rootfs.tar.zst"
    assert document["payload"]["file"] == "payload/rootfs.tar.zst"
    manifest.check_files(folder, loaded)


def test_equal_content_gives_equal_bytes(tmp_path: Path, folder: Path) -> None:
    other = bundles.make(tmp_path / "again")
    assert (other / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_an_unchanged_manifest_is_not_written_again(folder: Path) -> None:
    raw = (folder / "manifest.json").read_bytes()
    assert write.put(folder, raw) is False
    assert write.put(folder, raw + b"\n") is True
    assert sorted(path.name for path in folder.iterdir()) == ["environment", "layouts", "manifest.json", "payload"]


def test_all_problems_come_at_once_with_their_paths(document: dict[str, Any]) -> None:
    document["format"] = 2
    document["environment"]["kernel"]["sha256"] = "12"
    document["environment"]["initrd"]["file"] = "../../etc/passwd"
    document["payload"]["size"] = "7"
    document["payload"]["compression"] = "rar"
    document["layout"] = "absent"
    with pytest.raises(Fault) as caught:
        manifest.load(document)
    assert caught.value.id == "bundle.manifest_invalid"
    for path in (
        ".format:",
        ".environment.kernel.sha256:",
        ".environment.initrd.file:",
        ".payload.size:",
        ".payload.compression:",
        ".layout: absent",
    ):
        assert path in caught.value.what


@pytest.mark.parametrize("broken", [None, [], "text", {}, {"format": 1, "layouts": []}])
def test_anything_else_is_refused_and_not_a_traceback(broken: Any) -> None:
    with pytest.raises(Fault) as caught:
        manifest.load(broken)
    assert caught.value.id == "bundle.manifest_invalid"


@pytest.mark.parametrize("name", ["/etc/passwd", "a/../../b", "environment/../../x"])
def test_a_file_outside_of_the_bundle_is_refused(document: dict[str, Any], name: str) -> None:
    document["payload"]["file"] = name
    with pytest.raises(Fault, match=r"\.payload\.file: must lie inside"):
        manifest.load(document)


def test_another_architecture_is_refused(document: dict[str, Any]) -> None:
    document["architecture"] = "riscv64"
    with pytest.raises(Fault) as caught:
        manifest.load(document)
    assert caught.value.id == "bundle.architecture"
    assert "riscv64" in caught.value.what


@pytest.mark.parametrize("name", ["payload/rootfs.tar.zst", "environment/vmlinuz", "layouts/other.json"])
def test_one_flipped_bit_is_found(folder: Path, document: dict[str, Any], name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 0x10
    (folder / name).write_bytes(data)
    with pytest.raises(Fault) as caught:
        manifest.check_files(folder, manifest.load(document))
    assert caught.value.id == "bundle.altered"
    assert name in caught.value.what


def test_a_file_cut_off_is_found_by_its_size(folder: Path, document: dict[str, Any]) -> None:
    path = folder / "payload/rootfs.tar.zst"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Fault) as caught:
        manifest.check_files(folder, manifest.load(document))
    assert caught.value.id == "bundle.truncated"
    assert "13999 bytes and not 14000" in caught.value.what


def test_a_missing_file_is_named(folder: Path, document: dict[str, Any]) -> None:
    (folder / "environment/initrd.img").unlink()
    with pytest.raises(Fault) as caught:
        manifest.check_files(folder, manifest.load(document))
    assert caught.value.id == "bundle.file_missing"
    assert "environment/initrd.img" in caught.value.what


def test_an_unknown_layout_is_answered_with_the_known_ones(document: dict[str, Any]) -> None:
    with pytest.raises(Fault) as caught:
        manifest.layout_file(manifest.load(document), "vb")
    assert caught.value.id == "bundle.layout_unknown"
    assert "other, tiny" in caught.value.what
