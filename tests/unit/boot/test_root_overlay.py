# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a slot with an overlay carries, and how files are written so that they last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import root_overlay
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import loader
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import resolved

EXAMPLE = Path(__file__).parents[3] / "docs/layouts/overlay.yml"


def make_plan(slot: str) -> dict[str, Any]:
    layout = resolve(loader.load(yaml.safe_load(EXAMPLE.read_text())), DiskGeometry(16 << 30), "run")
    return {"slot": slot, "run_id": "20260102T030405Z-abcdef", "layout": layout.to_document()}


def names_of(archive: bytes) -> dict[str, int]:
    """Return the names of a newc archive with their modes (initramfs-buffer-format)."""
    found, position = {}, 0
    while True:
        fields = [int(archive[position + 6 + 8 * one : position + 14 + 8 * one], 16) for one in range(13)]
        name = archive[position + 110 : position + 110 + fields[11] - 1].decode()
        if name == "TRAILER!!!":
            return found
        found[name] = fields[1]
        position += (110 + fields[11] + 3) // 4 * 4
        position += (fields[6] + 3) // 4 * 4


def test_settings_of_both_modes() -> None:
    layout = resolve(loader.load(yaml.safe_load(EXAMPLE.read_text())), DiskGeometry(16 << 30), "run")
    assert root_overlay.settings(layout, "a", "RUN") == (
        "SLOT='a'\nRUN_ID='RUN'\nMODE='overlay-tmpfs'\nMEMORY='50%'\nPERSIST='/etc /var/log'\n"
        "DATA_VOLUME='host/data'\nDATA_DEVICE='/dev/host/data'\nDATA_KIND='ext4'\nDATA_OPTIONS='defaults'\n"
    )
    assert "MODE='overlay-data'\nMEMORY='50%'\nPERSIST=''\n" in root_overlay.settings(layout, "b", "RUN")


def test_data_on_a_partition_are_found_by_uuid_and_keep_their_own_options() -> None:
    document = yaml.safe_load(EXAMPLE.read_text())
    document["partitions"].insert(2, {"id": "store", "type": "linux", "size": "1 GiB"})
    document["file_systems"].append(
        {"on": "store", "kind": "xfs", "mount": "/store", "options": "noexec,logbsize=256k"}
    )
    document["slots"]["b"]["root"]["data"] = "store"
    layout = resolve(loader.load(document), DiskGeometry(16 << 30), "run")
    uuid = layout.file_system("store").uuid
    assert root_overlay.settings(layout, "b", "RUN").splitlines()[5:] == [
        "DATA_VOLUME=''",
        f"DATA_DEVICE='/dev/disk/by-uuid/{uuid}'",
        "DATA_KIND='xfs'",
        "DATA_OPTIONS='logbsize=256k'",
    ]


def test_the_archive_brings_no_folder_that_may_be_a_link(tmp_path: Path) -> None:
    root_overlay.write(tmp_path, make_plan("a"))
    archive = tmp_path / "boot/dualroot/root.cpio"
    assert archive.stat().st_mode & 0o777 == 0o600
    names = names_of(archive.read_bytes())
    assert [name for name, mode in names.items() if mode & 0o040000] == ["dualroot"]
    assert {name for name, mode in names.items() if not mode & 0o040000} == {
        "conf/conf.d/dualroot-root",
        "dualroot/root",
        "dualroot/settings",
        "scripts/dualroot",
        "usr/lib/dracut/hooks/pre-pivot/10-dualroot-root.sh",
    }
    assert (tmp_path / "usr/local/sbin/dualroot-root").stat().st_mode & 0o777 == 0o755


def test_a_slot_that_is_written_to_keeps_nothing_of_an_overlay(tmp_path: Path) -> None:
    root_overlay.write(tmp_path, make_plan("a"))
    layout = resolved("va").to_document()
    for _time in range(2):
        root_overlay.write(tmp_path, {"slot": "a", "run_id": "x", "layout": layout})
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_is_written_on_an_ordinary_root_lasts(tmp_path: Path) -> None:
    runner = FakeRunner()
    with root_overlay.lasting(runner, tmp_path) as roots:
        assert roots == (tmp_path,)
    assert runner.calls == []


def test_below_an_overlay_the_slot_own_root_is_writable_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda _self: True)
    own = tmp_path / "run/dualroot/root/lower"
    commands = [("mount", "-o", "remount,rw"), ("sync", "-f"), ("mount", "-o", "remount,ro")]
    runner = FakeRunner(dict.fromkeys((*command, str(own)) for command in commands))
    with pytest.raises(OSError, match="full"), root_overlay.lasting(runner, tmp_path) as roots:
        assert roots == (tmp_path, own)
        raise OSError("full")
    assert runner.calls == [(*command, str(own)) for command in commands]
