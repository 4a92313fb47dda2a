# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Updates that come up wrong, in every way: the good slot is back by itself, and ``status`` says why.

A converted host is updated up to the moment when the new slot would start for the first time. There the
machine is off, and each test breaks the new slot on a copy of that disk. Others have a bad bundle and a controller
from start to end. All of them are in ``make soak``.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.outcome import note_tries
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout

from tests.lab.bundles import BROKEN, build_bundle
from tests.support import matrix

from . import disk_content, slots
from .conftest import Host, StartHost, soak
from .controller import Controller
from .sealed import FALL_SECONDS, LIMIT

INSTALL_SECONDS = 1200.0
IMAGE = "converted-debian13-va"
#: What the reason tells of each way to fail, wherever it was noticed: one of these words.
REASONS = {
    "panic": ("no start", "did not come up", "panic"),
    "hang": ("no start", "has not come up", "did not come up", "hang"),
    "offline": ("address", "gateway", "network"),
    "unhealthy": ("50-lab.sh", "the plant is cold"),
}
#: Tries of each: all three where counting is what is shown.
TRIES = {"panic": 3}


@dataclass(frozen=True)
class Installed:
    """A host whose disk is as the update left it before the restart; ``good`` is what slot a holds."""

    host: Host
    disk: Path
    layout: ResolvedLayout
    run_id: str
    good: dict[str, str]


@pytest.fixture(scope="module")
def installed(start_host: StartHost) -> Iterator[Installed]:
    """Update a converted host, and have it off where slot b would start for the first time."""
    host = start_host(image=IMAGE)
    machine = host.machine
    variables = {**build_bundle("debian13-va-2").variables(), "dualroot_consent": 1, "dualroot_trial_limit": LIMIT}
    controller = Controller(host, "update", **variables)
    try:
        machine.stop_at_reboot(INSTALL_SECONDS)
    except BaseException:
        print(controller.outcome().output[-4000:])
        raise
    # Killed, because the tests start the rest anew, each on its own copy of the disk.
    controller.kill()
    kept = machine.folder / "installed.qcow2"
    shutil.move(machine.disk, kept)
    plan = json.loads(sorted(host.reports.glob(f"*/{host.name}/plan.json"))[-1].read_text())
    layout = ResolvedLayout.from_document(plan["layout"])
    assert plan["slot"] == "b"
    good = slots.content(kept, machine.folder, layout, "a")
    assert len(good) > 1000
    yield Installed(host, kept, layout, plan["run_id"], good)


def start_broken(installed: Installed, kind: str, tries: int) -> int:
    """Start the machine with a disk of its own, its slot b broken; return where its part of the console begins."""
    machine = installed.host.machine
    machine.stop()
    shutil.copyfile(installed.disk, machine.disk)
    places = {name: slots.place(installed.layout, name) for name in ("b", "dispatch")}
    with disk_content.changed_at(machine.disk, machine.folder, places) as mounted:
        state = slot_state.read(mounted["dispatch"]).state
        assert (state.state_of("a"), state.state_of("b"), state.tries) == ("good", "trying", slot_state.MAX_TRIES)
        assert (mounted["b"] / "etc/lab-version").read_text() == "2\n"
        slots.lay(BROKEN[kind], mounted["b"])
        slot_state.write(mounted["dispatch"], slot_state.mark_trying(state, "b", tries))
        # As whoever gives a slot other tries than the usual ones does; else the missing ones count as used up.
        note_tries(mounted["dispatch"], "b", tries)
    since = len(machine.console())
    machine.start()
    return since


def status_of(host: Host) -> dict[str, Any]:
    """Return what ``playbooks/status.yml`` says of the host."""
    path = host.reports / "status.json"
    outcome = host.play("status", dualroot_status_file=str(path))
    assert outcome.returncode == 0, outcome.output[-4000:]
    document: dict[str, Any] = slots.of_host(json.loads(path.read_text()), host.name)
    return document


def fell_back(host: Host, run_id: str) -> str:
    """Return why the update's slot was left, as ``status`` says it; fails where that is not what happened."""
    status = status_of(host)
    assert status["running"] == "a"
    assert (status["slots"]["a"]["state"], status["slots"]["b"]["state"]) == ("good", "bad"), status
    about = [one for one in status["outcomes"] if one["slot"] == "b" and one["run_id"] == run_id]
    assert about and about[-1]["event"] in ("fell_back", "bad"), about
    assert about[-1]["reason"]
    return str(about[-1]["reason"])


@soak
@pytest.mark.parametrize("kind", list(BROKEN))
def test_a_slot_that_does_not_come_up_is_left(installed: Installed, kind: str) -> None:
    machine, tries = installed.host.machine, TRIES.get(kind, 1)
    since = start_broken(installed, kind, tries)
    machine.wait_for_console("dualroot: boot slot=a", tries * FALL_SECONDS, since)
    console = machine.console()[since:]
    assert console.count("dualroot: boot slot=b") == tries
    machine.wait_for_ssh()
    assert "dualroot.slot=a" in machine.ssh("cat /proc/cmdline")
    reason = fell_back(installed.host, installed.run_id)
    assert any(word in reason for word in REASONS[kind]), reason
    machine.power_down()
    assert slots.differences(installed.good, slots.content(machine.disk, machine.folder, installed.layout, "a")) == []
    matrix.record(f"update: {kind}", "GOOD SLOT", f"{tries} tries; status: {reason}", "virtual machine")


@soak
def test_a_healthy_update_stays_though_nobody_comes(installed: Installed) -> None:
    """The host itself decides: checks that succeed are enough, a controller that died costs no update."""
    machine = installed.host.machine
    machine.stop()
    shutil.copyfile(installed.disk, machine.disk)
    since = len(machine.console())
    machine.start()
    machine.wait_for_console("dualroot: boot slot=b", FALL_SECONDS, since)
    machine.wait_for_ssh()
    # Longer than a trial.
    with contextlib.suppress(Exception):
        machine.wait_for_console("dualroot: boot slot=a", LIMIT * 2.0, since)
    assert "dualroot.slot=b" in machine.ssh("cat /proc/cmdline")
    matrix.record("update: no controller", "NEW", "slot b runs after two limits", "virtual machine")


@soak
@pytest.mark.parametrize("kind", list(BROKEN))
def test_the_controller_sees_the_host_fall_back(start_host: StartHost, kind: str) -> None:
    """The whole road of a bad update: the run fails with the host's own reason, and the good slot is what it was."""
    host = start_host(image=IMAGE)
    machine = host.machine
    since = len(machine.console())
    bad = build_bundle(f"debian13-va-{kind}").variables()
    outcome = host.play("update", **bad, dualroot_consent=1, dualroot_trial_limit=LIMIT)
    assert outcome.returncode != 0
    result = outcome.result(host.name)
    assert (result["outcome"], result["slot"]) == ("fell_back", "a"), outcome.output[-4000:]
    assert any(word in result["reason"] for word in REASONS[kind]), result
    assert 1 <= machine.console()[since:].count("dualroot: boot slot=b") <= slot_state.MAX_TRIES
    reason = fell_back(host, result["run_id"])
    assert any(word in reason for word in REASONS[kind]), reason
    matrix.record(f"update: whole run, {kind}", "GOOD SLOT", reason, "virtual machine", result["fault"]["id"])
    # Before the next one: each has a machine of a GiB.
    machine.stop()
