# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery system's files: who writes them, what is in them, and what a power cut leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive import durable
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import _dispatcher_script, recovery_files

PLAN = {"run_id": "run-1", "login_user": "admin"}
CAPTURE = {"hostname": "gate1", "network": {"addresses": ["192.0.2.1/24"]}}
MOVED = {"hostname": "gate1", "network": {"addresses": ["198.51.100.1/24"]}}


class Bench:
    """What stage two brings, and the dispatch file system."""

    def __init__(self, folder: Path) -> None:
        self.dispatch, self.environment, self.host = folder / "dispatch", folder / "environment", folder / "host"
        for path in (self.dispatch, self.environment, self.host):
            path.mkdir()
        (self.environment / "vmlinuz").write_bytes(b"kernel")
        (self.environment / "initrd.img").write_bytes(b"initrd")
        self.part = self.dispatch / "recovery/host.cpio"

    def install(self, capture: dict[str, Any]) -> bytes:
        (self.host / "plan.json").write_text(json.dumps(PLAN))
        (self.host / "capture.json").write_text(json.dumps(capture))
        recovery_files.install(self.dispatch, {}, self.environment, self.host)
        return self.part.read_bytes()

    def files(self) -> set[str]:
        return {path.name for path in (self.dispatch / "recovery").iterdir()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_stage_two_and_an_update_write_the_same(bench: Bench) -> None:
    old = bench.install(CAPTURE)
    assert recovery_files.renew(bench.dispatch, PLAN, MOVED)
    new = bench.part.read_bytes()
    assert b"198.51.100.1" in new and b"192.0.2.1" not in new and new != old
    assert bench.part.stat().st_mode & 0o777 == 0o600
    assert bench.install(MOVED) == new


def test_an_update_leaves_kernel_and_initrd_alone(bench: Bench) -> None:
    bench.install(CAPTURE)
    before = [(bench.dispatch / "recovery" / name).stat().st_ino for name in ("vmlinuz", "initrd.img")]
    recovery_files.renew(bench.dispatch, PLAN, MOVED)
    assert [(bench.dispatch / "recovery" / name).stat().st_ino for name in ("vmlinuz", "initrd.img")] == before
    assert bench.files() == {"vmlinuz", "initrd.img", "host.cpio"}


@pytest.mark.parametrize("gone", ["vmlinuz", "initrd.img"])
def test_a_host_without_a_recovery_system_is_left_alone(bench: Bench, gone: str) -> None:
    assert not recovery_files.renew(bench.dispatch, PLAN, CAPTURE)
    assert list(bench.dispatch.iterdir()) == []
    bench.install(CAPTURE)
    (bench.dispatch / "recovery" / gone).unlink()
    before = bench.part.read_bytes()
    assert not recovery_files.renew(bench.dispatch, PLAN, MOVED)
    assert bench.part.read_bytes() == before


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_power_cut_leaves_the_old_part_and_the_next_update_mends_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = bench.install(CAPTURE)

    def cut(*_unused: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(durable.os, step, cut)
        with pytest.raises(KeyboardInterrupt):
            recovery_files.renew(bench.dispatch, PLAN, MOVED)
    assert bench.part.read_bytes() == old
    # The dispatcher names its files one by one, so it never loads this one.
    assert bench.files() == {"vmlinuz", "initrd.img", "host.cpio", "host.cpio.new"}
    assert "host.cpio.new" not in _dispatcher_script.SCRIPT and "*" not in _recovery_of(_dispatcher_script.SCRIPT)
    assert recovery_files.renew(bench.dispatch, PLAN, MOVED)
    assert b"198.51.100.1" in bench.part.read_bytes()
    assert bench.files() == {"vmlinuz", "initrd.img", "host.cpio"}


def test_the_content_is_on_the_disk_before_its_name_and_the_name_at_the_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.install(CAPTURE)
    seen: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(durable.os, "fsync", lambda handle: seen.append(_path(handle)) or fsync(handle))
    monkeypatch.setattr(durable.os, "replace", lambda *names: seen.append("replace") or replace(*names))
    recovery_files.renew(bench.dispatch, PLAN, MOVED)
    assert seen == ["host.cpio.new", "replace", "recovery"]


def test_what_the_operator_has_carried_over_is_not_in_it(bench: Bench) -> None:
    extra = [{"path": "/etc/app/key", "content_b64": "U0VDUkVU"}]
    plain = bench.install(CAPTURE)
    assert bench.install({**CAPTURE, "extra_paths": extra}) == plain
    recovery_files.renew(bench.dispatch, PLAN, {**CAPTURE, "extra_paths": extra})
    assert bench.part.read_bytes() == plain


def _path(handle: int) -> str:
    return Path(os.readlink(f"/proc/self/fd/{handle}")).name


def _recovery_of(script: str) -> str:
    return script.partition("function dr_boot_recovery {")[2].partition("\n}\n")[0]
