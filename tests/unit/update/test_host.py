# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading a running host for an update."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records, slot_state, slots
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.diff import Difference
from ansible_collections.dualroot.migrate.plugins.module_utils.update import host

from tests.support.fake_runner import FakeRunner
from tests.support.layouts import RUN_ID, resolved
from tests.unit.update import scene

LINE = f"BOOT_IMAGE=/boot/vmlinuz root=/dev/VA/root dualroot.slot=a dualroot.run={RUN_ID}\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("proc", "dispatch", "etc/default", f"var/lib/dualroot/runs/{RUN_ID}"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/cmdline").write_text(LINE)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 2000 kB\nMemAvailable: 1000 kB\n")
    slot_state.write(tmp_path / "dispatch", scene.state())
    monkeypatch.setattr(slots, "check_mounted", lambda mount: None)
    monkeypatch.setattr(host, "find_disk", lambda guid, root: "/dev/vda")
    monkeypatch.setattr(host, "read_layout", lambda runner, node, root: "observed")
    monkeypatch.setattr(host, "diff", lambda layout, observed, upto: [])
    monkeypatch.setattr(host.targets, "users", lambda target, root: ["used"])
    monkeypatch.setattr(host.shutil, "which", lambda name, path: None if name == "zstd" else name)
    return tmp_path


def look(root: Path) -> host.Host:
    return host.read(FakeRunner(), root / "dispatch", root, "zstd")


def write_plan(root: Path) -> None:
    plan = {
        "run_id": RUN_ID,
        "bundle": {"name": "gateway", "version": "12.9"},
        "payload": {"sha256": "9" * 64},
        "layout": resolved("va").to_document(),
        "kernel_arguments": ["console=ttyS1"],
    }
    (root / f"var/lib/dualroot/runs/{RUN_ID}/plan.json").write_text(json.dumps(plan))


def test_a_host_with_records(root: Path) -> None:
    records.write_slot(root / "dispatch", scene.record())
    records.install_layout(root / "dispatch", resolved("va").to_document())
    (root / "etc/default/dualroot").write_text(
        '# x\nDUALROOT_RUN="r"\nDUALROOT_KERNEL_ARGUMENTS="console=tty0 quiet"\n'
    )
    found = look(root)
    assert (found.running, found.target, found.run_id) == ("a", "b", RUN_ID)
    assert found.layout == resolved("va")
    assert found.installed == {
        "name": "gateway",
        "version": "13.0",
        "payload_sha256": "a" * 64,
        "run_id": RUN_ID,
        "layout": "va",
    }
    assert found.kernel_arguments == ("console=tty0", "quiet")
    assert (found.missing, found.users, found.memory_available) == (("zstd",), ("used",), 1024000)
    assert found.dispatch_free > 0


def test_a_host_from_before_there_were_records_is_known_by_its_plan(root: Path) -> None:
    write_plan(root)
    found = look(root)
    assert (found.installed["version"], found.installed["payload_sha256"]) == ("12.9", "9" * 64)
    assert (found.layout, found.kernel_arguments) == (resolved("va"), ("console=ttyS1",))


def test_a_record_of_another_run_says_nothing_of_what_runs(root: Path) -> None:
    write_plan(root)
    records.write_slot(root / "dispatch", scene.record(run_id="other", version="99"))
    assert look(root).installed["version"] == "12.9"


def test_a_host_that_knows_nothing_of_itself(root: Path) -> None:
    found = look(root)
    assert found.layout is None and found.layout_problem
    assert set(found.installed.values()) == {"", RUN_ID}


def test_the_root_that_is_made_anew_may_differ(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plan(root)
    found = [Difference(".file_systems[root_b].uuid", "1", "2"), Difference(".disk_bytes", 1, 2)]
    monkeypatch.setattr(host, "diff", lambda layout, observed, upto: found)
    assert look(root).differences == (".disk_bytes: wanted 1, found 2",)
    monkeypatch.setattr(host, "find_disk", lambda guid, root: "")
    assert "no disk has" in look(root).differences[0]


@pytest.mark.parametrize("line", ["root=/dev/sda1 ro", "dualroot.mode=recovery", "dualroot.mode=old dualroot.run=r"])
def test_other_systems_are_no_slot(root: Path, line: str) -> None:
    (root / "proc/cmdline").write_text(line)
    with pytest.raises(Fault, match="update.not_converted"):
        look(root)


def test_an_lvm_less_layout_document_is_told(root: Path) -> None:
    records.install_layout(root / "dispatch", {"disk_guid": 1})
    assert "layout" in look(root).layout_problem


def test_slots_of_b_update_a(root: Path) -> None:
    (root / "proc/cmdline").write_text(LINE.replace("slot=a", "slot=b"))
    slot_state.write(root / "dispatch", replace(scene.state("good", "good"), order=("b", "a")))
    assert look(root).target == "a"


def test_rights_are_asked_for_before_anything_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.os, "geteuid", lambda: 0)
    host.require_root()
    monkeypatch.setattr(host.os, "geteuid", lambda: 1000)
    with pytest.raises(Fault, match="preflight.not_root"):
        host.require_root()
