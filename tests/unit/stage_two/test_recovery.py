# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from pathlib import Path

from tests.unit.update import scene

from .stage import Stage, broken


def test_stays_reachable_and_tries_what_fails_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.write("proc/cmdline", "dualroot.mode=recovery dualroot.reason=no_slot\n")
    stage.parts.faults["network"] = [broken("no carrier")]
    seen: list[dict[str, object]] = []
    stage.at.append((stage.now + 30, lambda: seen.append(stage.status)))
    stage.at.append((stage.now + 90, lambda: seen.append(stage.status)))
    stage.at.append((stage.now + 100, stage.places.reboot.touch))

    assert stage.run() == 0

    assert stage.parts.calls == ["login admin", "network", "network"]
    assert [(one["state"], one["mode"]) for one in seen] == [("recovery", "recovery")] * 2
    assert seen[0]["fault"]["id"] == "command.failed"  # type: ignore[index]
    assert seen[1]["fault"] is None
    assert any("no slot could be booted" in line for line in stage.lines)
    assert stage.reboots == 1


def test_tells_why_and_gives_a_person_the_command(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.write("proc/cmdline", "dualroot.mode=recovery dualroot.reason=no_slot\n")
    stage.told = "slot a fell back: 3 tries: no sshd listens\n"
    stage.at.append((stage.now + 100, stage.places.reboot.touch))
    assert stage.run() == 0
    program = tmp_path / "usr/lib/dualroot/slot-outcome"
    # Once: what works is not done again.
    assert stage.programs == [str(program)]
    assert stage.mounts == [str(tmp_path / "boot/dispatch")]
    mount = next(argv for argv in stage.runner.calls if argv[0] == "mount")
    assert mount[:5] == ("mount", "-t", "ext4", "-o", "ro") and mount[5].startswith("UUID=")
    assert program.stat().st_mode & 0o111 and (tmp_path / "usr/local/sbin/dualroot-slot").is_file()
    assert stage.status["reason"] == "slot a fell back: 3 tries: no sshd listens"


def test_the_plan_of_an_update_says_as_much_as_that_of_a_migration(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    # The dispatcher is of the migration, and so is the run that it names.
    stage.write("proc/cmdline", "dualroot.mode=recovery dualroot.reason=no_slot dualroot.run=20250101T000000Z-abcdef\n")
    (stage.places.configuration / "plan.json").write_text(json.dumps(scene.judged()["plan"]))
    stage.at.append((stage.now + 100, stage.places.reboot.touch))
    assert stage.run() == 0
    assert stage.parts.calls == ["login admin", "network"]
    assert stage.mounts == [str(tmp_path / "boot/dispatch")]
    assert (stage.status["run_id"], stage.status["fault"]) == (scene.NEW_RUN, None)


def test_without_documents_it_still_stays(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.write("proc/cmdline", "dualroot.mode=recovery\n")
    (stage.places.configuration / "capture.json").unlink()
    stage.at.append((stage.now + 10, stage.places.reboot.touch))

    assert stage.run() == 0
    assert any("capture.json" in line for line in stage.lines)
