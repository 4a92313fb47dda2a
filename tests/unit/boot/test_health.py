# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written into a slot for its health; what the scripts do is in ``tests/tools``."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import health, outcome, system_units, trial

PLAN = {"trial_limit": 900, "slot": "b", "run_id": "run-1"}
UNITS = "etc/systemd/system"
ENABLED = {
    "boot-complete.target.requires/dualroot-health.service",
    "multi-user.target.wants/dualroot-complete.service",
    "multi-user.target.wants/dualroot-outcome.service",
    "sysinit.target.wants/dualroot-trial.service",
}


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    (tmp_path / "new/boot/dispatch").mkdir(parents=True)
    return tmp_path / "new"


def write(root: Path, *commands: str, decisive: bool = True, limit: int = 900) -> None:
    health.write(root, root / "boot/dispatch", {**PLAN, "trial_limit": limit}, {}, commands, decisive)


def test_everything_is_written_and_enabled(root: Path) -> None:
    for _time in range(2):
        write(root, "true")
    links = {str(path.relative_to(root / UNITS)) for path in (root / UNITS).rglob("*") if path.is_symlink()}
    assert links == ENABLED
    for link in ENABLED:
        assert (root / UNITS / link).resolve().is_file()
    for path in (trial.GUARD_PATH, health.CHECKS_PATH, outcome.PATH):
        assert (root / path).stat().st_mode & 0o777 == 0o755
    assert '"result": "running"' in (root / "etc/tmpfiles.d/dualroot-health.conf").read_text()


def test_the_checks_stand_between_the_whole_system_and_boot_complete(root: Path) -> None:
    write(root)
    unit = (root / UNITS / "dualroot-health.service").read_text()
    assert "After=multi-user.target" in unit and "Before=boot-complete.target" in unit
    assert "ExecStart=/bin/sh /usr/lib/dualroot/health-check\n" in unit and "@" not in unit


def test_the_target_is_brought_along_only_where_the_system_has_none(root: Path) -> None:
    own = root / "lib/systemd/system/boot-complete.target"
    own.parent.mkdir(parents=True)
    own.touch()
    write(root)
    assert not (root / UNITS / "boot-complete.target").exists()
    own.unlink()
    write(root)
    assert "Requires=sysinit.target" in (root / UNITS / "boot-complete.target").read_text()


def test_commands_take_the_place_of_those_before(root: Path) -> None:
    required, wanted = (root / f"etc/dualroot/check/{kind}.d" for kind in ("required", "wanted"))
    write(root, "systemctl is-active db", "true")
    (required / "10-mine").write_text("of the payload")
    write(root, "curl -f 'http://127.0.0.1/health'")
    assert sorted(path.name for path in required.iterdir()) == ["10-mine", "50-dualroot-command-01"]
    text = (required / "50-dualroot-command-01").read_text()
    assert text.split("\n")[:2] == ["#!/bin/sh", "# check: curl -f 'http://127.0.0.1/health'"]
    assert text.endswith("\ncurl -f 'http://127.0.0.1/health'\n")
    write(root, "false", decisive=False)
    assert [path.name for path in required.iterdir()] == ["10-mine"]
    assert [path.name for path in wanted.iterdir()] == ["50-dualroot-command-01"]


def test_a_command_may_hold_any_text(root: Path) -> None:
    write(root, "printf '%s' \u00e4 @COMMAND@ >/dev/null")
    text = (root / "etc/dualroot/check/required.d/50-dualroot-command-01").read_text("utf-8")
    assert "# check: printf '%s' ? @COMMAND@" in text and text.endswith("printf '%s' \u00e4 @COMMAND@ >/dev/null\n")


def test_without_a_limit_checks_only_inform(root: Path) -> None:
    write(root, limit=0)
    assert not list(root.rglob("dualroot-trial.service"))
    assert (root / UNITS / "dualroot-health.service").is_file()


def test_units_are_removed(root: Path) -> None:
    system_units.write(root, "x.service", "[Unit]\n", "multi-user.target.wants")
    for _time in range(2):
        system_units.remove(root, "x.service", "multi-user.target.wants")
    assert not list((root / UNITS).rglob("x.service"))
