# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Staging: what is pending, what is done, that a second run does nothing, and that all can be taken back."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    disarming,
    fetch,
    host_loader,
    one_shot,
    staging,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.fetch import Artefact
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.host_loader import HostLoader
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.usage import Mount
from ansible_collections.dualroot.migrate.plugins.module_utils.faults import command
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.mounts import Place

from tests.support import layouts
from tests.support.fake_runner import FakeRunner, failed
from tests.support.guarded_server import HEADER, SECRETS, UNUSABLE, guarded

SECRET = "$6$canary-hash"
FILES = {"vmlinuz": b"kernel" * 99, "initrd.img": b"initrd" * 99 + b"x", "rootfs.tar.zst": b"payload" * 999}


def described(name: str, folder: str = "") -> dict[str, Any]:
    return {
        "file": folder + name,
        "sha256": hashlib.sha256(FILES[name]).hexdigest(),
        "size": len(FILES[name]),
    }


class Host:
    """An old system in a folder: its GRUB, its mounts, and a bundle beside it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.boot, self.state, self.grub = root / "boot/dualroot", root / "state", root / "boot/grub"
        self.stage = self.state / "stage"
        self.bundle = root / "bundle"
        for folder in (self.grub, self.stage, self.bundle / "environment"):
            folder.mkdir(parents=True)
        (self.grub / "grub.cfg").write_text("the old configuration")
        (self.grub / "grubenv").write_text("")
        for name, content in FILES.items():
            place = self.bundle if name.startswith("rootfs") else self.bundle / "environment"
            (place / name).write_bytes(content)
        self.capture = self.stage / "capture.json"
        self.capture.write_text(json.dumps({"hash": SECRET}))
        self.capture.chmod(0o600)
        self.loader = HostLoader(self.grub, "grub-reboot", "grub-editenv", "", True, True, "")
        self.next_entry = ""
        self.runner = FakeRunner(handler=self.answer)
        mount = Mount("8:1", "/", "ext4", "/dev/sda1", "rw", "/")
        place = Place(mount, "/dev/sda1", "1234-abcd", "/boot/dualroot", ("part",), ("sda",), 1, 1)
        monkeypatch.setattr(one_shot, "place_of", lambda runner, path: place)
        monkeypatch.setattr(host_loader, "detect", lambda runner: self.loader)
        for module in (one_shot, staging):
            monkeypatch.setattr(module, "settle", lambda path: None)

    def answer(self, argv: Sequence[str], stdin: bytes | None) -> Any:
        if argv[0] == "grub-reboot":
            self.next_entry = argv[1]
            return None
        if argv[0] == "grub-editenv" and argv[2] == "unset":
            self.next_entry = ""
            return None
        if argv[0] == "grub-editenv":
            return f"next_entry={self.next_entry}\n"
        raise AssertionError(argv)

    def plan(self, **changes: Any) -> dict[str, Any]:
        return document.freeze(
            {
                **_plan(),
                "environment": {
                    "kernel": described("vmlinuz", "environment/"),
                    "initrd": described("initrd.img", "environment/"),
                },
                "payload": {**described("rootfs.tar.zst"), "compression": "zstd", "unpacked_bytes": 1},
                "staging": {
                    "uuid": "1234-abcd",
                    "fstype": "ext4",
                    "directory": str(self.stage),
                    "run_directory": str(self.state / "runs/run-1"),
                },
                **changes,
            }
        )

    def order(self, source: str | None = None, **changes: Any) -> staging.Staging:
        place = str(self.bundle) if source is None else source
        return staging.Staging(self.runner, self.plan(**changes), place, self.capture, self.boot)

    def files(self) -> dict[str, tuple[bytes, int]]:
        return {
            str(path.relative_to(self.root)): (path.read_bytes(), path.stat().st_mode & 0o777)
            for folder in (self.boot, self.stage, self.grub)
            if folder.is_dir()
            for path in folder.iterdir()
        }

    def disarm(self) -> list[str]:
        return [change.what for change in disarming.disarm(self.runner, self.boot, self.state)]


@functools.cache
def _plan() -> dict[str, Any]:
    return {
        "version": 1,
        "run_id": "run-1",
        "host": "gw",
        "mode": "convert",
        "attended": True,
        "go_timeout": 600,
        "trial_limit": 900,
        "created": 1,
        "expires": 2,
        "bundle": {"name": "b", "version": "1", "manifest_sha256": "0", "signed_by": ""},
        "machine": {"hostname": "gw1", "id": ""},
        "disk": {
            **dict.fromkeys(("serial", "wwn", "table", "table_id", "root_uuid", "name"), ""),
            "by_id": [],
            "size_bytes": 1,
            "sector_bytes": 512,
        },
        "layout": layouts.resolved().to_document(),
        "slot": "a",
        "firmware": "bios",
        "renderer": "networkd",
        "esp": None,
        "kernel_arguments": ["console=ttyS0"],
        "login_user": "admin",
        "lifeboat": {"wish": "none", "used": False, "needed_bytes": 0, "allowed": [], "gaps": [], "swaps": []},
        "predicted": {},
    }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


EVERYTHING = ["kernel", "initrd", "payload", "plan.json", "boot kernel", "boot initrd", "host.cpio", "entry"]


def test_stage_puts_everything_in_place(host: Host) -> None:
    assert [change.what for change in host.order().apply()] == EVERYTHING
    for name, content in FILES.items():
        assert (host.stage / name).read_bytes() == content
    assert (host.boot / "vmlinuz").read_bytes() == FILES["vmlinuz"]
    assert "menuentry" in (host.grub / "custom.cfg").read_text()
    assert (host.grub / "grub.cfg").read_text() == "the old configuration"
    assert host.next_entry == ""
    for folder in (host.boot, host.stage, host.state, host.state / "runs/run-1"):
        assert folder.stat().st_mode & 0o777 == 0o700
    for path in (host.boot / "host.cpio", host.stage / "capture.json", host.stage / "plan.json"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() in (host.boot / "host.cpio").read_bytes()
    assert not list(host.root.rglob("*.new")) + list(host.root.rglob("*.part"))


def test_second_run_does_nothing(host: Host) -> None:
    host.order().apply()
    before = {path: path.stat().st_mtime_ns for path in host.root.rglob("*") if path.is_file()}
    assert host.order().apply() == []
    assert {path: path.stat().st_mtime_ns for path in host.root.rglob("*") if path.is_file()} == before


def test_looking_changes_nothing(host: Host) -> None:
    before = host.files()
    assert [change.what for change in host.order().pending()] == EVERYTHING
    assert host.files() == before
    assert not host.boot.exists()


def test_only_what_differs_is_done_again(host: Host) -> None:
    host.order().apply()
    (host.stage / "rootfs.tar.zst").write_bytes(b"damaged" * 999)
    (host.boot / "host.cpio").chmod(0o644)
    assert [change.what for change in host.order().apply()] == ["payload", "host.cpio"]
    assert (host.stage / "rootfs.tar.zst").read_bytes() == FILES["rootfs.tar.zst"]
    assert host.order().pending() == []


def test_another_run_replaces_plan_host_part_and_entry(host: Host) -> None:
    host.order().apply()
    changes = host.order(run_id="run-2").apply()
    assert [change.what for change in changes] == ["plan.json", "host.cpio", "entry"]
    assert (host.grub / "custom.cfg").read_text().count("menuentry") == 1


def test_files_that_are_in_the_staging_folder_already(host: Host) -> None:
    for name, content in FILES.items():
        (host.stage / name).write_bytes(content)
    assert [change.what for change in host.order("").apply()] == EVERYTHING[3:]
    assert os.stat(host.stage / "initrd.img").st_ino == os.stat(host.boot / "initrd.img").st_ino


@pytest.mark.parametrize("content", [None, b"x"])
def test_capture_that_cannot_be_used(host: Host, content: bytes | None) -> None:
    host.capture.unlink()
    if content:
        host.capture.write_bytes(content)
    with pytest.raises(Fault) as caught:
        host.order().pending()
    assert caught.value.id == "boot.capture_missing"


def test_damaged_source_leaves_nothing(host: Host) -> None:
    (host.bundle / "rootfs.tar.zst").write_bytes(b"flipped")
    with pytest.raises(Fault) as caught:
        host.order().apply()
    assert caught.value.id == "boot.source_damaged"
    assert "rootfs.tar.zst" in caught.value.what
    assert not (host.stage / "rootfs.tar.zst").exists() and not list(host.stage.glob("*.part"))
    assert not (host.grub / "custom.cfg").exists()


def test_damaged_file_in_the_staging_folder_itself(host: Host) -> None:
    (host.stage / "vmlinuz").write_bytes(b"flipped")
    with pytest.raises(Fault) as caught:
        host.order("").apply()
    assert caught.value.id == "boot.source_damaged"


def test_missing_source(host: Host) -> None:
    (host.bundle / "rootfs.tar.zst").unlink()
    with pytest.raises(Fault) as caught:
        host.order().apply()
    assert caught.value.id == "boot.source_missing"


def test_no_space_is_told_before_anything_is_copied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((4096, 4096, 10, 10, 10, 9, 9, 9, 0, 255)))
    before = host.files()
    with pytest.raises(Fault) as caught:
        host.order().apply()
    assert caught.value.id == "boot.no_space"
    assert host.files() == before


def test_what_stays_free_of_a_file_system() -> None:
    mib = 1 << 20
    assert [fetch.spare_bytes(size * mib) // mib for size in (200, 1000, 2048, 8192)] == [32, 50, 102, 256]


def test_altered_plan_is_refused(host: Host) -> None:
    plan = {**host.plan(), "slot": "b"}
    with pytest.raises(Fault, match="plan.digest"):
        staging.Staging(host.runner, plan, "", host.capture, host.boot)


def test_arm(host: Host) -> None:
    order = host.order()
    order.apply()
    assert not order.is_armed()
    assert order.arm() == "dualroot-convert"
    assert host.order().is_armed()


def test_disarm_takes_everything_back(host: Host) -> None:
    before = {name: content for name, content in host.files().items() if "grub/" in name}
    order = host.order()
    order.apply()
    order.arm()
    remains = [change.what for change in disarming.remains(host.runner, host.boot, host.state)]
    assert remains == ["one-shot", "entry", "folder", "folder"]
    assert host.disarm() == remains
    assert host.next_entry == "" and host.files() == before
    assert (host.state / "runs/run-1").is_dir()
    assert host.disarm() == []


def test_disarm_overwrites_secrets(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.order().apply()
    shredded = []
    real = fetch.shred
    monkeypatch.setattr(fetch, "shred", lambda path: shredded.append(path.name) or real(path))
    host.disarm()
    assert sorted(shredded) == ["capture.json", "host.cpio"]


def test_disarm_leaves_a_foreign_one_shot(host: Host) -> None:
    host.next_entry = "someone-elses"
    assert host.disarm() == ["folder"]
    assert host.next_entry == "someone-elses"


def test_grubby_gets_one_initramfs(host: Host) -> None:
    host.loader = replace(host.loader, reads_custom_config=False, grubby="grubby")
    known = False

    def answer(argv: Sequence[str], stdin: bytes | None) -> Any:
        nonlocal known
        if argv[0] != "grubby":
            return host.answer(argv, stdin)
        if argv[1].startswith("--info"):
            return "title=dualroot-convert\n" if known else failed(1)
        known = argv[1].startswith("--add")
        return None

    host.runner = FakeRunner(handler=answer)
    changes = [change.what for change in host.order().apply()]
    assert changes == [*EVERYTHING[:-1], "combined.img", "entry"]
    combined = (host.boot / "combined.img").read_bytes()
    host_part = (host.boot / "host.cpio").read_bytes()
    assert combined.startswith(FILES["initrd.img"]) and combined.endswith(host_part)
    assert (len(combined) - len(host_part)) % 4 == 0
    assert (host.boot / "combined.img").stat().st_mode & 0o777 == 0o600
    assert host.order().apply() == []
    assert host.disarm() == ["grubby entry", "folder", "folder"]
    assert not known and not (host.grub / "custom.cfg").exists()


ADDRESS = "https://user:w%40rd%22word@example.net/bundles/gw"


class Web:
    """Answers for curl: writes what a server would have sent."""

    def __init__(self, content: bytes, result: Any = None) -> None:
        self.content, self.result = content, result

    def __call__(self, argv: Sequence[str], stdin: bytes | None) -> Any:
        output = Path(argv[argv.index("--output") + 1])
        with output.open("ab") as file:
            file.write(self.content[file.tell() :])
        return self.result(argv, stdin) if self.result else None


def artefact(folder: Path) -> Artefact:
    part = described("rootfs.tar.zst")
    return Artefact("sub folder/rootfs.tar.zst", folder / "rootfs.tar.zst", part["sha256"], part["size"])


@pytest.mark.parametrize("present", [b"", FILES["rootfs.tar.zst"][:100], FILES["rootfs.tar.zst"], b"z" * 99999])
def test_download_goes_on_where_it_ended(tmp_path: Path, present: bytes) -> None:
    if present:
        (tmp_path / "rootfs.tar.zst.part").write_bytes(present)
    runner = FakeRunner(handler=Web(FILES["rootfs.tar.zst"]))
    fetch.fetch(runner, artefact(tmp_path), ADDRESS)
    assert (tmp_path / "rootfs.tar.zst").read_bytes() == FILES["rootfs.tar.zst"]
    if present == FILES["rootfs.tar.zst"]:
        assert runner.calls == []
        return
    assert runner.calls == [
        (
            *("curl", "--fail", "--location", "--silent", "--show-error", "--retry", "3"),
            *("--connect-timeout", "30", "--speed-limit", "1", "--speed-time", "60", "--continue-at", "-"),
            *("--output", str(tmp_path / "rootfs.tar.zst.part"), "--config", "-"),
        )
    ]
    url = b'url = "https://example.net/bundles/gw/sub%20folder/rootfs.tar.zst"\n'
    assert runner.inputs == [url + b'user = "user:w@rd\\"word"\n']


def test_server_that_cannot_go_on_is_asked_for_all(tmp_path: Path) -> None:
    (tmp_path / "rootfs.tar.zst.part").write_bytes(b"pay")
    web = Web(FILES["rootfs.tar.zst"])
    sizes = []

    def answer(argv: Sequence[str], stdin: bytes | None) -> Any:
        sizes.append((tmp_path / "rootfs.tar.zst.part").stat().st_size)
        return failed(33, "curl: (33) no byte ranges") if sizes[-1] else web(argv, stdin)

    fetch.fetch(FakeRunner(handler=answer), artefact(tmp_path), ADDRESS)
    assert sizes == [3, 0]


def test_failed_download_keeps_what_came_and_no_password(tmp_path: Path) -> None:
    runner = FakeRunner(handler=Web(FILES["rootfs.tar.zst"][:50], failed(22, "curl: (22) error: 404")))
    with pytest.raises(Fault) as caught:
        fetch.fetch(runner, artefact(tmp_path), ADDRESS)
    assert caught.value.id == "boot.source_missing"
    assert "word" not in json.dumps(caught.value.record())
    assert "https://example.net/bundles/gw" in caught.value.what
    assert len((tmp_path / "rootfs.tar.zst.part").read_bytes()) == 50


def without_curl(argv: Sequence[str], _stdin: bytes | None) -> Any:
    raise Fault(command.MISSING, program=argv[0])


@pytest.mark.parametrize("present", [b"", FILES["rootfs.tar.zst"][:100]])
def test_without_curl_a_login_goes_to_the_server_of_the_address_alone(tmp_path: Path, present: bytes) -> None:
    served = tmp_path / "served/sub folder"
    served.mkdir(parents=True)
    (served / "rootfs.tar.zst").write_bytes(FILES["rootfs.tar.zst"])
    (tmp_path / "rootfs.tar.zst.part").write_bytes(present)
    with guarded(served.parent) as server:
        server.away.add("sub folder/rootfs.tar.zst")
        fetch.fetch(FakeRunner(handler=without_curl), artefact(tmp_path), server.address)
        assert (server.headers, server.elsewhere.headers) == ({HEADER}, {None})
        assert (tmp_path / "rootfs.tar.zst").read_bytes() == FILES["rootfs.tar.zst"]
        with pytest.raises(Fault) as caught:
            wrong = server.address.replace("p%40ss", "hunter2")
            fetch.fetch(FakeRunner(handler=without_curl), artefact(tmp_path), wrong)
    assert caught.value.id == "boot.source_missing"
    assert "401" in caught.value.record()["why"] and "hunter2" not in str(caught.value.record())


@pytest.mark.parametrize("address", UNUSABLE)
def test_no_fault_has_the_login_of_an_address_that_leads_nowhere(tmp_path: Path, address: str) -> None:
    for handler in (without_curl, Web(b"", failed(7, "curl: (7) failed to connect"))):
        with pytest.raises(Fault) as caught:
            fetch.fetch(FakeRunner(handler=handler), artefact(tmp_path), address)
        assert caught.value.id == "boot.source_missing"
        assert not [one for one in SECRETS if one in f"{caught.value} {caught.value.record()}"]


def test_damaged_download_is_not_kept(tmp_path: Path) -> None:
    runner = FakeRunner(handler=Web(b"flipped"))
    with pytest.raises(Fault) as caught:
        fetch.fetch(runner, artefact(tmp_path), ADDRESS)
    assert caught.value.id == "boot.source_damaged"
    assert list(tmp_path.iterdir()) == []


def test_shred_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    os.link(path, tmp_path / "second")
    assert fetch.shred(path)
    assert (tmp_path / "second").read_bytes() == bytes(6)
    assert not fetch.shred(path)
