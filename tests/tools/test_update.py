# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A whole update with the real tar, mkfs, mount and HTTP, into an ext4 in an image file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records, slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import proof
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import document as captures
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document as plans
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner, Result
from ansible_collections.dualroot.migrate.plugins.module_utils.update import install, target
from ansible_collections.dualroot.migrate.plugins.module_utils.update.payload import source_of
from ansible_collections.dualroot.migrate.plugins.module_utils.update.progress import Progress

from tests.support.layouts import RUN_ID
from tests.tools.loop_disk import missing
from tests.unit.capture.conftest import Host
from tests.unit.update import scene

MIB = 1 << 20
PROGRAMS = ("zstd", "wipefs", "blockdev", "losetup", "e2fsck", "cp")
absent = missing("ext4") or ", ".join(one for one in PROGRAMS if not shutil.which(one))
pytestmark = pytest.mark.skipif(bool(absent), reason=f"not to be had: {absent}")


class Runner(CommandRunner):
    """Runs everything for real but the commands that tell of the network, and ``cut`` instead of one program."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self.cut = ""

    def run(self, argv: Any, **options: Any) -> Any:
        if argv[0] in ("ip", "ethtool"):
            return self._host.runner.run(argv, **options)
        if argv[0] == "udevadm" and not shutil.which("udevadm"):
            return Result(tuple(argv), 0)
        if argv[0] == self.cut:
            raise KeyboardInterrupt(self.cut)
        return super().run(argv, **options)


class Lab:
    """The running system (a fixture), the dispatch file system (in memory), and slot b on a loop device."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder, self.device = folder, device
        self.host = Host("debian11-static", folder)
        self.root, self.dispatch, self.mount = self.host.root, folder / "dispatch", folder / "update/new"
        self.runner = Runner(self.host)
        shutil.rmtree(self.root / "proc", ignore_errors=True)
        (self.root / "proc").mkdir()
        (self.root / "proc/self").symlink_to("/proc/self")
        (self.root / "proc/cmdline").write_text(f"dualroot.slot=a dualroot.run={RUN_ID}\n")
        (self.root / "srv/app").mkdir(parents=True)
        (self.root / "srv/app/state").write_bytes(os.urandom(MIB))
        self.payload = folder / "rootfs.tar.zst"
        self._fill(folder / "tree")
        self.pack()
        slot_state.write(self.dispatch, scene.state(b="good"))
        self.recovery = self.dispatch / "recovery"
        self.recovery.mkdir(mode=0o700)
        for name in ("vmlinuz", "initrd.img", "host.cpio"):
            (self.recovery / name).write_bytes(b"of the migration")
        subprocess.run(["mount", "-o", "remount,ro", str(self.dispatch)], check=True)
        self.capture = captures.read(self.root, self.runner, {"login_user": "admin"})

    def _fill(self, tree: Path) -> None:
        for name in ("etc/ssh", "boot", "usr/sbin", "usr/share", "srv", "var/lib"):
            (tree / name).mkdir(parents=True)
        (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (tree / "etc/shadow").write_text("root:*:1:0:99999:7:::\n")
        (tree / "etc/group").write_text("root:x:0:\nshadow:x:42:\n")
        (tree / "etc/ssh/sshd_config").write_text("Include /etc/ssh/sshd_config.d/*.conf\n")
        (tree / "etc/os-release").write_text('PRETTY_NAME="Payload 2"\n')
        (tree / "boot/vmlinuz-6.1").write_bytes(b"kernel")
        (tree / "boot/initrd.img-6.1").write_bytes(b"initrd")
        (tree / "usr/share/big").write_bytes(os.urandom(12 * MIB))
        os.link(tree / "usr/share/big", tree / "usr/share/link")
        with (tree / "usr/share/sparse").open("wb") as file:
            file.truncate(32 * MIB)
            file.seek(16 * MIB)
            file.write(b"island")

    def pack(self) -> None:
        """Make the payload of the tree."""
        options = ["--numeric-owner", "--sparse", "--zstd", "-cf", str(self.payload)]
        subprocess.run(["tar", "-C", str(self.folder / "tree"), *options, "."], check=True)
        self.unpacked = 64 * MIB + 2 * self.payload.stat().st_size

    def plan(self, run_id: str = scene.NEW_RUN) -> dict[str, Any]:
        content = self.payload.read_bytes()
        described = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "unpacked_bytes": self.unpacked,
        }
        plan = scene.judged()["plan"]
        changed = {
            **plan,
            "run_id": run_id,
            "payload": {**plan["payload"], **described},
            "machine": proof.machine(self.capture),
            "created": int(time.time()),
            "expires": int(time.time()) + 3600,
        }
        return plans.freeze({name: value for name, value in changed.items() if name != "digest"})

    def install(self, source: str = "", **wishes: Any) -> install.Installed:
        plan = wishes.pop("plan", None) or self.plan()
        order = install.Order(plan, source_of(source or str(self.folder), plan["payload"]), **wishes)
        layout = scene.host().layout
        assert layout is not None
        goal = replace(target.of_layout(layout, "b"), device=self.device, mount=self.mount)
        return install.install(
            self.runner,
            order,
            Progress(plan["run_id"], self.folder / "update.json"),
            dispatch=self.dispatch,
            root=self.root,
            at=goal,
            lock=self.folder / "lock",
        )

    def state(self) -> str:
        return slot_state.read(self.dispatch).state.state_of("b")


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[str]:
    """Yield a loop device of ``size`` bytes for the slot; the dispatch file system is mounted meanwhile."""
    image, dispatch = folder / "slot.img", folder / "dispatch"
    with image.open("wb") as file:
        file.truncate(size)
    dispatch.mkdir()
    argv = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "dispatch", str(dispatch)], check=True)
    try:
        yield device
    finally:
        for at in (folder / "update/new", dispatch):
            if at.is_mount():
                subprocess.run(["umount", str(at)], check=True)
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with mounted(tmp_path, 192 * MIB) as device:
        yield Lab(tmp_path, device)


def look_inside(lab: Lab, folder: Path) -> Path:
    """Mount the slot as the dispatcher would find it."""
    assert subprocess.run(["e2fsck", "-fn", lab.device], capture_output=True, check=False).returncode == 0
    lab.mount.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "ro", lab.device, str(lab.mount)], check=True)
    return lab.mount


def test_the_slot_becomes_this_host(lab: Lab, tmp_path: Path) -> None:
    done = lab.install(carry_paths=("/srv/app",), health_commands=("true",))
    assert (done.changed, lab.state()) == (True, "trying")
    assert not lab.mount.is_mount()
    record = records.read_slots(lab.dispatch)["b"]
    assert (record.content_sha256, record.title) == (done.content_sha256, "Payload 2")
    new = look_inside(lab, tmp_path)
    assert (new / "etc/hostname").read_text() == "gw01\n"
    assert (new / "srv/app/state").read_bytes() == (lab.root / "srv/app/state").read_bytes()
    assert (new / "usr/share/big").stat().st_ino == (new / "usr/share/link").stat().st_ino
    assert f'dr_run="{scene.NEW_RUN}"' in (new / "boot/dualroot/slot.cfg").read_text()
    lines = (new / "etc/fstab").read_text().splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["/", "/boot/dispatch", "/data", "/image"]
    assert all((new / name).is_dir() for name in ("boot/dispatch", "data", "image"))
    folder = new / "var/lib/dualroot/runs" / scene.NEW_RUN
    assert json.loads((folder / "plan.json").read_text())["mode"] == "update"
    assert "CANARY" not in (folder / "capture-redacted.json").read_text()
    assert json.loads((folder / "result.json").read_text())["slot"] == "b"
    assert "CANARYadminhash" in (new / "etc/shadow").read_text()
    assert not (new / ".dualroot-restore").exists()
    # Read-only again, and the other slot as it was.
    assert not os.access(lab.dispatch, os.W_OK) or os.statvfs(lab.dispatch).f_flag & os.ST_RDONLY
    assert slot_state.read(lab.dispatch).state.state_of("a") == "good"
    # The recovery system knows the logins and the address of now.
    part = lab.recovery / "host.cpio"
    assert part.stat().st_mode & 0o777 == 0o600
    assert all(word in part.read_bytes() for word in (b"CANARYadminhash", b"192.0.2.10/24", scene.NEW_RUN.encode()))
    assert {path.name for path in lab.recovery.iterdir()} == {"vmlinuz", "initrd.img", "host.cpio"}


@pytest.mark.parametrize("program", ["wipefs", "mkfs.ext4", "cp", "blockdev"])
def test_a_process_that_is_killed_leaves_a_bad_slot_and_the_next_one_mends_it(lab: Lab, program: str) -> None:
    lab.runner.cut = program
    with pytest.raises(KeyboardInterrupt):
        lab.install(carry_paths=("/srv/app",))
    assert (lab.state(), slot_state.read(lab.dispatch).state.choice()) == ("bad", "a")
    assert records.read_slots(lab.dispatch) == {}
    lab.runner.cut = ""
    assert lab.install(carry_paths=("/srv/app",)).changed
    assert lab.state() == "trying"


def test_a_damaged_payload_leaves_a_bad_slot(lab: Lab) -> None:
    plan = lab.plan()
    content = bytearray(lab.payload.read_bytes())
    content[len(content) // 2] ^= 1
    lab.payload.write_bytes(content)
    with pytest.raises(Fault, match="archive.digest"):
        lab.install(plan=plan)
    assert lab.state() == "bad"


class Handler(BaseHTTPRequestHandler):
    """Serves one file, breaks off every so many bytes, and counts."""

    content = b""
    breaks = 4 * MIB
    asked: list[str] = []

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        type(self).asked.append(self.headers.get("Range", ""))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.send_header("ETag", '"1"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(self.content[start : start + self.breaks])
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


def test_an_address_is_streamed_over_connections_that_break(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "content", lab.payload.read_bytes())
    monkeypatch.setattr(Handler, "asked", [])
    plan = lab.plan()
    lab.payload.unlink()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = lab.install(f"http://127.0.0.1:{server.server_port}/bundle", plan=plan)
        server.shutdown()
    assert (done.changed, lab.state()) == (True, "trying")
    # Two looks at what it is (before the slot is given up, and before it is filled), then the stream in parts of 4 MiB.
    assert Handler.asked == ["", "", "", f"bytes={4 * MIB}-", f"bytes={8 * MIB}-", f"bytes={12 * MIB}-"]
