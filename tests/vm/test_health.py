# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A slot on trial that is not healthy, in every way: it ends by itself in the good slot, which tells why.

One machine has a system in both slots. The good one breaks the other, gives it its tries and restarts; what runs
after that and what it recorded is the test. With ``DUALROOT_SOAK`` only; what the host itself does is in
``tests/tools``, and whole updates that fall back are in ``test_update``.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import health, records

from tests.lab.bundles import Bundle
from tests.lab.guest import MachineError
from tests.lab.hardware import Options
from tests.lab.machine import Machine
from tests.support import matrix

from . import two_slots
from .conftest import remember, soak
from .payloads import DRACUT, changed

ROOTS = {"a": "root_a", "b": "root_b"}
#: The host's address is leased, and its gateway is the lab's.
CAPTURE = {"ssh": {"ports": [22]}, "network": {"interfaces": [{"dhcp4": True}]}}
#: Seconds of a trial: a system comes up in a third of that under emulation.
LIMIT = 150
#: The limit, a restart, and the start of the good slot, under emulation on a busy machine.
TRY_SECONDS = 700.0
#: Seconds within which a controller that looks waits for the outcome.
OUTCOME_SECONDS = 60.0

_UNIT = (
    "printf '[Unit]\\nDefaultDependencies=no\\nBefore=sysinit.target\\n{unit}[Service]\\n{service}' >{units}/x.service"
)
_UNITS = "etc/systemd/system"
_WANT = f"ln -s ../x.service {_UNITS}/sysinit.target.wants/x.service"


def _unit(service: str, unit: str = "") -> str:
    return f"{_UNIT.format(unit=unit, service=service, units=_UNITS)} && {_WANT}"


@dataclass(frozen=True)
class Break:
    """What a shell in the root of slot b breaks, and what the good slot then says; ``proof`` is on the console."""

    command: str
    reason: str
    proof: str = ""
    tries: int = 1


BREAKS = {
    "failing check": Break(
        "mkdir -p etc/dualroot/check/required.d && echo patience=5 >etc/dualroot/health.conf && "
        "printf '#!/bin/sh\\necho no answer\\nexit 3\\n' >etc/dualroot/check/required.d/10-never && "
        "chmod 755 etc/dualroot/check/required.d/10-never",
        "3 tries: required check '10-never' ended with status 3: no answer",
        "trial of slot b: required check '10-never'",
        tries=3,
    ),
    "kernel panic": Break(
        _unit("ExecStart=/bin/sh -c 'echo c >/proc/sysrq-trigger'\\n"),
        "1 try: it ended before its services started: no kernel, no root, a panic or a hang",
        "Kernel panic - not syncing: sysrq triggered crash",
    ),
    "late kernel panic": Break(
        _unit("ExecStart=/bin/sh -c 'sleep 60; echo c >/proc/sysrq-trigger'\\n"),
        "1 try: it had started and ended without a word: a panic, a hang or a reset",
        "Kernel panic - not syncing: sysrq triggered crash",
    ),
    "hang": Break(
        _unit("Type=oneshot\\nTimeoutStartSec=infinity\\nExecStart=/bin/sleep infinity\\n"),
        "1 try: the system has not come up as a whole, it waits for x.service",
        "trial of slot b: the system has not come up as a whole",
    ),
    "network dead": Break(
        f"for one in systemd-networkd.service systemd-networkd.socket; do ln -sf /dev/null {_UNITS}/$one; done",
        "1 try: network dead: no address was leased",
        "trial of slot b: network dead",
    ),
    "gateway silent": Break(
        # The lease names a gateway that is not there; its address is that of nobody in the lab's network.
        "printf '[Match]\\nName=en*\\n[Network]\\nAddress=10.0.2.15/24\\nGateway=10.0.2.77\\n'"
        " >etc/systemd/network/10-lab.network",
        "1 try: network dead: nobody logged in, and the gateway 10.0.2.77 does not answer",
        "trial of slot b: network dead",
    ),
    "sshd dead": Break(
        f"ln -sf /dev/null {_UNITS}/ssh.service; ln -sf /dev/null {_UNITS}/ssh.socket",
        "1 try: no sshd listens",
        "trial of slot b: no sshd listens",
    ),
    "no kernel": Break(
        "rm -f boot/vmlinuz-* vmlinuz",
        "it cannot be loaded: its kernel or initramfs is missing or cannot be read",
        "dualroot: slot b cannot be loaded",
    ),
}


class Guest:
    """The machine, and what the tests ask of it."""

    def __init__(self, machine: Machine, made: two_slots.TwoSlots) -> None:
        self.machine = machine
        self.made = made

    def shell(self, command: str, timeout: float = 300.0) -> str:
        return self.machine.ssh(f"sudo sh -c {shlex.quote(command)}", timeout=timeout).strip()

    def change_b(self, command: str) -> None:
        self.shell(
            "vgchange -qq -ay; mkdir -p /mnt/b; mount /dev/host/root_b /mnt/b;"
            f" (cd /mnt/b && {command}); status=$?; umount /mnt/b; exit $status"
        )

    def try_b(self, tries: int) -> int:
        """Give slot b its tries and restart; return where the console was."""
        self.shell(f"dualroot-slot try b {tries}")
        since = len(self.machine.console())
        # In the background, because the connection ends with it.
        self.shell("nohup sh -c 'sleep 2; systemctl reboot' >/dev/null 2>&1 </dev/null &")
        return since

    def state_of_b(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.shell("dualroot-slot status --json"))
        return found

    def last_outcome(self, slot: str) -> dict[str, str]:
        end = time.monotonic() + OUTCOME_SECONDS
        while True:
            lines = self.shell("cat /boot/dispatch/outcomes.jsonl 2>/dev/null || :").splitlines()
            found: list[dict[str, str]] = [json.loads(line) for line in lines]
            mine = [one for one in found if one["slot"] == slot and one["event"] == "fell_back"]
            if mine or time.monotonic() > end:
                return mine[-1] if mine else {}
            time.sleep(2)


@pytest.fixture(scope="module", params=["initramfs-tools", "dracut"])
def guest(request: pytest.FixtureRequest, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    (payload,) = (bundle.folder / "payload").iterdir()
    on_trial = changed(payload, "dracut", DRACUT) if request.param == "dracut" else payload
    folder = tmp_path_factory.mktemp("health")
    image = folder / "image"
    image.mkdir()

    # The order in which they are made.
    slots = iter(("b", "a"))

    def prepare(root: Path) -> None:
        slot = next(slots)
        dispatch, run = image / "dispatch", two_slots.RUNS[slot]
        health.write(root, dispatch, {"slot": slot, "run_id": run, "trial_limit": LIMIT}, CAPTURE)
        record = records.SlotRecord(slot, "bundle", "test", "1", "two-slots", run, records.now())
        records.write_slot(dispatch, record)

    made = two_slots.build(image, {"a": payload, "b": on_trial}, bundle.folder / "environment", ROOTS, change=prepare)
    machine = Machine.create(folder / "gw-0815", Options(image="debian11"), made.image)
    remember(request.config, machine)
    try:
        machine.start()
        machine.wait_for_ssh(TRY_SECONDS)
        found = Guest(machine, made)
        # A copy of it as it was: each test begins with it.
        found.change_b(
            "tar --create --file=/data/etc.tar etc boot/dualroot && mkdir -p /data/boot && cp -a boot/. /data/boot"
        )
        yield found
    finally:
        machine.stop()


@soak
@pytest.mark.parametrize("name", list(BREAKS))
def test_a_slot_that_is_not_healthy_falls_back(guest: Guest, name: str) -> None:
    broken, machine = BREAKS[name], guest.machine
    guest.change_b(
        f"rm -rf etc && tar --extract --file=/data/etc.tar && cp -a /data/boot/. boot && {{ {broken.command}; }}"
    )
    guest.shell(
        "mount -o remount,rw /boot/dispatch; rm -f /boot/dispatch/outcomes.jsonl; mount -o remount,ro /boot/dispatch"
    )
    since = guest.try_b(broken.tries)
    machine.wait_for_console("dualroot: boot slot=a", broken.tries * TRY_SECONDS, since)
    _wait_for_slot(machine, "a")
    console = machine.console()[since:]
    assert console.count("dualroot: boot slot=b") == broken.tries
    assert console.count(broken.proof) >= broken.tries, console[-3000:]
    told = guest.last_outcome("b")
    assert told.get("reason") == broken.reason and told["run_id"] == two_slots.RUNS["b"]
    seen = guest.state_of_b()
    assert seen["slots"]["b"]["state"] == "bad" and seen["slots"]["a"]["state"] == "good" and seen["boots_next"] == "a"
    assert broken.reason in guest.shell("dualroot-slot reason")
    matrix.record(f"second slot: {name}", "NEW", f"recorded: {broken.reason}", "virtual machine")


@soak
def test_a_healthy_slot_stays_on_trial_though_nobody_comes(guest: Guest) -> None:
    machine = guest.machine
    guest.change_b("rm -rf etc && tar --extract --file=/data/etc.tar && cp -a /data/boot/. boot")
    since = guest.try_b(3)
    machine.wait_for_console("but it can be reached: it stays", TRY_SECONDS, since)
    _wait_for_slot(machine, "b")
    assert json.loads(guest.shell("cat /run/dualroot/health.json"))["result"] == "passed"
    units = "multi-user.target boot-complete.target dualroot-health.service dualroot-complete.service"
    assert guest.shell(f"systemctl is-active {units}").split() == ["active"] * 4
    assert guest.shell("systemctl --failed --no-legend") == ""
    assert machine.console()[since:].count("dualroot: boot slot=") == 1
    # A restart in order, with tries left, is no fallback; and the trial knows of it.
    guest.shell("dualroot-slot next a; nohup sh -c 'sleep 2; systemctl reboot' >/dev/null 2>&1 </dev/null &")
    _wait_for_slot(machine, "a")
    assert guest.state_of_b()["slots"]["b"]["state"] == "trying"
    log = guest.shell(f"cat /boot/dispatch/runs/{two_slots.RUNS['b']}/trial.log").splitlines()
    assert log[-2].endswith("left=2 started") and log[-1].endswith("in order, by a person or a program")


def _wait_for_slot(machine: Machine, slot: str) -> None:
    end = time.monotonic() + TRY_SECONDS
    while time.monotonic() < end:
        try:
            if f"dualroot.slot={slot} " in machine.ssh("cat /proc/cmdline", timeout=30):
                return
        except MachineError:
            pass
        time.sleep(2)
    raise AssertionError(f"slot {slot} did not come up; see {machine.serial_log}")
