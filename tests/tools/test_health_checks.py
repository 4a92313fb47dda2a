# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The health checks of a slot, run by a real shell on folders of checks made for the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import _health_script, health

SHELLS = [found for found in (shutil.which("dash"), shutil.which("bash")) if found]


class Slot:
    """A root with check folders; ``run`` runs the checks, and tells whether the start was healthy."""

    def __init__(self, folder: Path, shell: str) -> None:
        self.root, self.state, self.bin = folder / "root", folder / "state", folder / "bin"
        self.proc, self.shell, self.said = folder / "proc", shell, ""
        for path in (self.root / "etc/dualroot", self.bin, self.proc):
            path.mkdir(parents=True)
        (self.proc / "cmdline").write_text("ro dualroot.slot=b dualroot.run=run-1 dualroot.trial\n")
        (self.proc / "uptime").write_text("30.00 1.00\n")
        self.configure("patience=0")
        self.command("systemctl", "exit 1")

    def configure(self, text: str) -> None:
        (self.root / "etc/dualroot/health.conf").write_text(text + "\n")

    def command(self, name: str, body: str) -> None:
        self.script(self.bin / name, body)

    def check(self, path: str, body: str, mode: int = 0o755) -> Path:
        """Write a check; ``path`` is for example ``etc/dualroot/check/required.d/10-disk``."""
        return self.script(self.root / path, body, mode)

    def script(self, path: Path, body: str, mode: int = 0o755) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(mode)
        return path

    def run(self) -> bool:
        script = self.root.parent / "health-check"
        script.write_text(_health_script.CHECKS)
        environment = {
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "DUALROOT_ROOT": str(self.root),
            "DUALROOT_PROC": str(self.proc),
            "DUALROOT_RUN": str(self.state),
        }
        done = subprocess.run(
            [self.shell, str(script)], env=environment, text=True, timeout=60, stdout=subprocess.PIPE, check=False
        )
        self.said = done.stdout
        return done.returncode == 0

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "health.json").read_text())
        return found

    @property
    def failed(self) -> str:
        path = self.state / "health-failed"
        return path.read_text().strip() if path.exists() else ""


@pytest.fixture(name="slot", params=SHELLS)
def _slot(tmp_path: Path, request: pytest.FixtureRequest) -> Slot:
    return Slot(tmp_path, request.param)


def test_a_slot_without_checks_is_healthy(slot: Slot) -> None:
    assert slot.run()
    assert slot.report == {"result": "passed", "reason": "", "required": [], "wanted": []}


def test_required_and_wanted_checks(slot: Slot) -> None:
    slot.check("etc/dualroot/check/required.d/20-second", "echo $DUALROOT_SLOT $DUALROOT_TRIAL")
    slot.check("usr/lib/dualroot/check/required.d/10-first", "exit 0")
    slot.check("etc/dualroot/check/wanted.d/disk", "echo the disk is slow; exit 3")
    assert slot.run()
    assert slot.report == {
        "result": "passed",
        "reason": "",
        "required": [{"name": "10-first", "status": 0}, {"name": "20-second", "status": 0}],
        "wanted": [{"name": "disk", "status": 3}],
    }
    assert "b yes\n" in slot.said
    assert "wanted check 'disk' ended with status 3: the disk is slow" in slot.said
    assert slot.failed == ""


def test_it_is_decided_before_wanted_checks_run(slot: Slot) -> None:
    """The guard of a trial does not wait for them."""
    wanted = slot.check("etc/dualroot/check/wanted.d/disk", f"ls {slot.state}/health-decided")
    assert slot.run()
    assert slot.report["wanted"] == [{"name": "disk", "status": 0}]
    slot.check("etc/dualroot/check/required.d/10-database", "exit 7")
    assert not slot.run()
    assert slot.report["wanted"] == [{"name": wanted.name, "status": 2}]


def test_a_required_check_that_fails(slot: Slot) -> None:
    slot.check("etc/dualroot/check/required.d/10-database", 'echo one; echo "no \\"answer\\" \\\\ here"; echo; exit 7')
    slot.check("etc/dualroot/check/required.d/20-other", "exit 1")
    assert not slot.run()
    reason = "required check '10-database' ended with status 7: no 'answer' / here"
    assert slot.report["result"] == "failed"
    assert slot.report["reason"] == slot.failed == reason
    assert [one["status"] for one in slot.report["required"]] == [7, 1]


def test_the_next_run_starts_anew(slot: Slot) -> None:
    check = slot.check("etc/dualroot/check/required.d/10-database", "exit 7")
    assert not slot.run()
    check.unlink()
    assert slot.run()
    assert slot.failed == ""


def test_a_service_may_need_its_time(slot: Slot) -> None:
    """Only what failed is run again, until it passes."""
    slot.configure("patience=60")
    slot.command("sleep", "exit 0")
    once = slot.check("etc/dualroot/check/required.d/10-once", "exit 0")
    once.write_text(f"#!/bin/sh\necho >>{slot.root}/once\n")
    slot.check(
        "etc/dualroot/check/required.d/20-late", f'echo >>{slot.root}/late; test "$(wc -l <{slot.root}/late)" = 3'
    )
    assert slot.run()
    assert (slot.root / "once").read_text() == "\n"
    assert [one["status"] for one in slot.report["required"]] == [0, 0]


def test_a_check_that_hangs(slot: Slot) -> None:
    slot.configure("patience=0 time_limit=1")
    slot.check("etc/dualroot/check/required.d/hangs", "exec sleep 50")
    assert not slot.run()
    assert slot.failed == "required check 'hangs' did not end within 1 s"


def test_what_is_no_check(slot: Slot) -> None:
    slot.check("usr/lib/dualroot/check/required.d/masked", "exit 1")
    folder = slot.root / "etc/dualroot/check/required.d"
    folder.mkdir(parents=True)
    (folder / "masked").symlink_to("/dev/null")
    for name in ("10-x.dpkg-old", "10-x~", ".hidden", "10-x.bak"):
        slot.check(f"etc/dualroot/check/required.d/{name}", "exit 1")
    slot.check("etc/dualroot/check/required.d/README", "exit 1", 0o644)
    slot.check("etc/greenboot/check/required.d/no-shell-script", "exit 1")
    assert slot.run()
    assert slot.report["required"] == []


def test_checks_as_greenboot_knows_them(slot: Slot) -> None:
    slot.check("usr/lib/greenboot/check/required.d/01_repository.sh", "exit 1")
    slot.check("etc/greenboot/check/wanted.d/02_watchdog.sh", "exit 0")
    assert not slot.run()
    assert slot.report["required"] == [{"name": "01_repository.sh", "status": 1}]
    assert slot.report["wanted"] == [{"name": "02_watchdog.sh", "status": 0}]
    # greenboot itself runs them, and has its own place in boot-complete.target.
    slot.command("systemctl", 'test "$*" = "is-enabled --quiet greenboot-healthcheck.service"')
    assert slot.run()
    assert slot.report["required"] == []


def test_the_commands_of_an_operator_are_checks(slot: Slot) -> None:
    health.write_commands(slot.root, ["true", "test -e \"/srv/x\" &&\n  echo 'fine'"])
    assert not slot.run()
    assert slot.failed == "required check 'test -e '/srv/x' &&' ended with status 1"
    first, second = sorted((slot.root / "etc/dualroot/check/required.d").iterdir())
    assert first.stat().st_mode & 0o777 == second.stat().st_mode & 0o777 == 0o700
    health.write_commands(slot.root, ["false"], decisive=False)
    assert slot.run()
    assert slot.report["required"] == [] and slot.report["wanted"] == [{"name": "false", "status": 1}]


def test_the_script_is_sound(tmp_path: Path) -> None:
    (tmp_path / "checks").write_text(_health_script.CHECKS)
    # SC1003: tr is given a quote on purpose.
    subprocess.run(["shellcheck", "--exclude=SC1003", str(tmp_path / "checks")], check=True)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    """No ordering cycle, no unknown setting; what the units run lies in another root."""
    root, units = tmp_path / "new", tmp_path / "new/etc/systemd/system"
    (root / "boot/dispatch").mkdir(parents=True)
    health.write(root, root / "boot/dispatch", {"trial_limit": 900, "slot": "b", "run_id": "run-1"}, {})
    names = (
        "dualroot-health.service",
        "dualroot-complete.service",
        "dualroot-outcome.service",
        "dualroot-trial.service",
    )
    # dualroot-fact.service and boot-dispatch.mount are the slot's.
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(units / name) for name in names)],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "dualroot" in line]
    assert [line for line in said if "is not executable" not in line and "not found" not in line.lower()] == []
    assert "cycle" not in done.stderr


def test_the_example_of_the_page_is_a_sound_check() -> None:
    top = Path(__file__).parents[2]
    example = top / "docs/health-checks/10-database"
    assert f"```sh\n{example.read_text()}```" in (top / "docs/health-checks.md").read_text()
    assert example.read_text().split("\n")[1] == "# check: the database answers"
    subprocess.run(["shellcheck", str(example)], check=True)
