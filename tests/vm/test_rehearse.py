# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rehearsal goes the whole road up to the go, and leaves the disk as it was."""

from __future__ import annotations

import re
from pathlib import Path

from tests.lab.machine import Machine

from . import disk_content
from .conftest import StartHost

#: What may differ after a rehearsal: staging, /boot and logs, and what every boot and login of Debian 11 changes.
MAY_DIFFER = re.compile(
    r"(boot|var/lib/dualroot|var/log)(/|$)"
    r"|var/(lib/systemd|lib/dhcp|lib/logrotate|lib/sudo|cache|tmp|spool)(/|$)"
    r"|(tmp|root|home/admin)/\.ansible(/|$)"
    r"|etc/(adjtime|\.updated)$|var/\.updated$|etc/resolv\.conf\.dhclient"
)


def test_a_rehearsal_comes_back_to_an_unchanged_disk(start_host: StartHost) -> None:
    host = start_host()
    machine = host.machine
    before = _content(machine)
    boot_id = host.boot_id()

    outcome = host.play("rehearse")

    assert outcome.returncode == 0, outcome.output[-4000:]
    result = outcome.result(host.name)
    assert result["outcome"] == "returned"
    assert result["fault"] is None
    assert [phase["name"] for phase in result["phases"]][:3] == ["attach", "load", "await"]
    # It really was in stage two and came back, and did not stay where it was.
    assert result["boot_ids"]["old"] == boot_id
    assert result["boot_ids"]["stage_two"] not in ("", boot_id)
    assert host.boot_id() not in (boot_id, result["boot_ids"]["stage_two"])
    assert machine.ssh("ls /boot/dualroot /var/lib/dualroot/stage 2>/dev/null; true") == ""

    after = _content(machine)
    assert after.outside == before.outside, "sectors outside the root partition differ"
    assert disk_content.changes(before, after, MAY_DIFFER) == []


def _content(machine: Machine) -> disk_content.Content:
    """Read the disk with the machine off, and start it again."""
    machine.power_down()
    try:
        return disk_content.read(machine.disk, Path(machine.folder))
    finally:
        machine.start()
        machine.wait_for_ssh()
