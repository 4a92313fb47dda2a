# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""There and back again: a host is migrated, and its old system brought back from the archive, as it was."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from .conftest import Host, StartHost, soak
from .test_keep_old import _data_hash

#: Table, boot code, and GRUB's core image behind it.
_FIRST_MIB = "head -c 1048576 /dev/vda | sha256sum"
_SHAPE = "dumpe2fs -h /dev/vda1 2>/dev/null | grep -E '^(Filesystem (UUID|volume name)|Block|Inode (count|size))'"


def _sudo(host: Host, script: str) -> str:
    return host.machine.ssh(f"sudo sh -c {shlex.quote(script)}", timeout=300)


def _remembered(host: Host) -> dict[str, Any]:
    """Return what must be the same before the migration and after the restore."""
    return {
        "data": _data_hash(host),
        "start": _sudo(host, _FIRST_MIB).split()[0],
        "root": _sudo(host, _SHAPE),
        "table": _sudo(host, "cat /sys/block/vda/vda1/start /sys/block/vda/vda1/size; blkid /dev/vda /dev/vda1"),
        "kernel": host.machine.ssh("uname -r"),
        "release": host.machine.ssh("grep VERSION_CODENAME /etc/os-release"),
        "password": host.machine.login_by_password(),
    }


@pytest.fixture(scope="module")
def converted(start_host: StartHost) -> tuple[Host, dict[str, Any]]:
    """Migrate a host with an archive; return it with what was remembered of its old system."""
    host = start_host()
    _sudo(host, "echo 'bring me back' >/root/marker; setfattr -n user.lab -v 1 /root/marker || true; sync")
    before = _remembered(host)
    assert "bullseye" in before["release"]
    outcome = host.play("migrate", dualroot_consent=1, dualroot_snapshot="archive")
    assert outcome.returncode == 0, outcome.output[-6000:]
    assert outcome.result(host.name)["outcome"] == "converted"
    return host, before


@soak
def test_without_consent_nothing_is_changed(converted: tuple[Host, dict[str, Any]]) -> None:
    host, _before = converted
    boot_id = host.boot_id()
    refused = host.play("restore")
    # What it means to go without a lifeboat has to be said first.
    assert refused.returncode != 0 and "revive.lifeboat" in refused.output, refused.output[-4000:]
    for options in ((), ("--check",)):
        outcome = host.play("restore", options=options, dualroot_lifeboat="none")
        assert outcome.returncode == 0, outcome.output[-6000:]
        assert "verdict: proceed" in outcome.output and "othing was changed" in outcome.output
    assert host.boot_id() == boot_id
    assert "dualroot.slot=a" in host.machine.ssh("cat /proc/cmdline")
    assert _sudo(host, "ls /boot/dispatch | grep -c restore || true").strip() == "0"


@soak
def test_the_old_system_is_what_it_was(converted: tuple[Host, dict[str, Any]]) -> None:
    host, before = converted
    outcome = host.play("restore", dualroot_consent=1, dualroot_lifeboat="none")
    assert outcome.returncode == 0, outcome.output[-6000:]
    result = outcome.result(host.name)
    assert (result["outcome"], result["mode"], result["slot"], result["fault"]) == ("restored", "restore", None, None)
    assert [phase["name"] for phase in result["phases"]][:2] == ["attach", "load"]
    assert result["downtime_seconds"] > 0
    # By the same host key, or there would be no connection.
    assert _remembered(host) == before
    assert _sudo(host, "cat /root/marker") == "bring me back\n"
    assert "dualroot" not in host.machine.ssh("cat /proc/cmdline")
    assert _sudo(host, "systemctl --failed --no-legend --plain").strip() == ""
    # It is no host of this project any more, but for the evidence.
    assert _sudo(host, "ls /var/lib/dualroot").split() == ["runs"]
    (folder,) = [run for run in outcome.runs() if run.name == result["run_id"]]
    assert (Path(folder) / host.name / "stage-two.log").is_file()


@soak
def test_it_starts_again_and_a_second_restore_leaves_it_alone(converted: tuple[Host, dict[str, Any]]) -> None:
    host, before = converted
    host.machine.reset()
    host.machine.wait_for_ssh()
    assert "bullseye" in host.machine.ssh("grep VERSION_CODENAME /etc/os-release")
    outcome = host.play("restore", dualroot_lifeboat="none")
    assert outcome.returncode == 0, outcome.output[-4000:]
    assert "Every host is what it should be already" in outcome.output
    assert _data_hash(host) == before["data"]
