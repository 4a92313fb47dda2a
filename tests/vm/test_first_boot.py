# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A new system that does not come up, in every way: it ends by itself in the recovery system, reachable.

One host is migrated up to the moment when stage two hands over. There the machine is off, and each test
breaks the new system on a copy of that disk. Two of the ways in ``make test``, all with ``DUALROOT_SOAK``.
"""

from __future__ import annotations

import os

import pytest

from tests.support import matrix
from tests.support.recovery_steps import STEPS, THREE_MORE_TRIES

from .conftest import StartHost, soak
from .sealed import BREAKS, FALL_SECONDS, Sealed, seal, start_broken

SAMPLE = ("sshd dead",)


@pytest.fixture(scope="module")
def sealed(start_host: StartHost) -> Sealed:
    # With the old system kept there would be a good slot to fall back to: test_keep_old_trials.py.
    return seal(start_host(), keep_old="none")


@pytest.mark.parametrize("name", list(BREAKS) if os.environ.get("DUALROOT_SOAK") else SAMPLE)
def test_a_system_that_does_not_come_up_ends_in_recovery(sealed: Sealed, name: str) -> None:
    broken, machine = BREAKS[name], sealed.host.machine
    # One try where the time of three would show nothing more: how tries are counted is shown by tests/boot.
    tries = 3 if name == "kernel panic" else 1
    since = start_broken(sealed, broken.apply, tries)
    machine.wait_for_console("dualroot: boot recovery reason=no_slot", tries * FALL_SECONDS, since)
    console = machine.console()[since:]
    assert console.count("dualroot: boot slot=a") == tries
    assert console.count(broken.proof) == tries, console[-3000:]
    machine.wait_for_ssh()
    assert "dualroot.mode=recovery" in machine.ssh("cat /proc/cmdline")
    outcome = sealed.host.play("migrate", **sealed.variables)
    assert outcome.returncode != 0
    fault = outcome.result(sealed.host.name)["fault"]["id"]
    assert fault == broken.fault, outcome.output[-4000:]
    if name == "sshd dead" and os.environ.get("DUALROOT_SOAK"):
        _follow_the_page(sealed)
    matrix.record(f"first boot: {name}", "RESCUE", f"console: {broken.proof}", "virtual machine", fault)


def _follow_the_page(sealed: Sealed) -> None:
    """Do what ``docs/recovery/convert.in_recovery.md`` says, and get the new system."""
    machine = sealed.host.machine
    mend = "rm /mnt/root/etc/systemd/system/ssh.service /mnt/root/etc/systemd/system/ssh.socket"
    link = "ln -s /usr/lib/systemd/system/ssh.service /mnt/root/etc/systemd/system/multi-user.target.wants/ssh.service"
    look = STEPS["convert.in_recovery"].look
    shown = machine.ssh("\n".join(look))
    assert "reason=no sshd listens" in shown and "dr_a=bad" in shown
    # In the background, because the connection ends with it.
    script = "\n".join((mend, f"{link} 2>/dev/null || :", THREE_MORE_TRIES))
    begun = len(machine.console())
    machine.ssh(f"cat >/run/follow <<'END'\n{script}END\nsetsid sh /run/follow >/run/follow.log 2>&1 </dev/null &")
    machine.wait_for_console("dualroot: boot slot=a", FALL_SECONDS, begun)
    machine.wait_for_ssh(FALL_SECONDS)
    assert "dualroot.slot=a" in machine.ssh("cat /proc/cmdline")


def test_a_failing_health_command_ends_in_recovery(sealed: Sealed) -> None:
    machine = sealed.host.machine
    since = start_broken(sealed, None, 3)
    machine.wait_for_ssh(FALL_SECONDS)
    command = "test -e /srv/unhealthy"
    outcome = sealed.host.play("migrate", **sealed.variables, dualroot_health_commands=[command])
    assert outcome.returncode != 0
    result = outcome.result(sealed.host.name)
    assert result["fault"]["id"] == "verify.unhealthy", outcome.output[-4000:]
    assert command in result["fault"]["what"]
    machine.wait_for_console("dualroot: boot recovery reason=no_slot", FALL_SECONDS, since)
    machine.wait_for_ssh(FALL_SECONDS)
    assert "dualroot.mode=recovery" in machine.ssh("cat /proc/cmdline")
    matrix.record("first boot: health command failing", "RESCUE", command, "virtual machine", "verify.unhealthy")


@soak
def test_a_healthy_system_stays_though_nobody_comes(sealed: Sealed) -> None:
    """An unattended run, or a controller that died: the guard looks, and leaves what works alone."""
    machine = sealed.host.machine
    since = start_broken(sealed, None, 3)
    machine.wait_for_console("but it can be reached: it stays", FALL_SECONDS, since)
    assert "dualroot.slot=a" in machine.ssh("cat /proc/cmdline")
    matrix.record("first boot: no controller", "NEW", "console: it can be reached: it stays", "virtual machine")
