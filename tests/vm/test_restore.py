# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""There and back again: a host is migrated, and its old system brought back from the archive, as it was."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .conftest import Host, StartHost, soak
from .controller import Controller
from .test_keep_old import data_hash

#: Table, boot code, and GRUB's core image behind it.
_FIRST_MIB = "head -c 1048576 /dev/vda | sha256sum"
_SHAPE = "dumpe2fs -h /dev/vda1 2>/dev/null | grep -E '^(Filesystem (UUID|volume name)|Block|Inode (count|size))'"
#: What `commit` has made beside slot A, without the UUIDs of LVM, which are new each time.
_SLOTS = "lsblk -rno NAME,SIZE,TYPE,PARTUUID /dev/vda; vgs --noheadings -o vg_name,pv_count"
#: As short as a plan may say it.
_GO_SECONDS = 30
#: From the order to restart to the middle of the phase restore, under emulation on a busy machine.
_MIDDLE_SECONDS = 900.0


@dataclass(frozen=True)
class Converted:
    """A host that was migrated with an archive; ``disk`` is a copy of its disk, ``before`` what its old system was."""

    host: Host
    disk: Path
    before: dict[str, Any]

    def start(self) -> int:
        """Start the host as it was migrated; return where this part of the console begins."""
        machine = self.host.machine
        machine.stop()
        shutil.copyfile(self.disk, machine.disk)
        since = len(machine.console())
        machine.start()
        machine.wait_for_ssh()
        return since


def _sudo(host: Host, script: str) -> str:
    return host.machine.ssh(f"sudo sh -c {shlex.quote(script)}", timeout=300)


def _remembered(host: Host) -> dict[str, Any]:
    """Return what must be the same before the migration and after the restore."""
    return {
        "data": data_hash(host),
        "start": _sudo(host, _FIRST_MIB).split()[0],
        "root": _sudo(host, _SHAPE),
        "table": _sudo(host, "cat /sys/block/vda/vda1/start /sys/block/vda/vda1/size; blkid /dev/vda /dev/vda1"),
        "kernel": host.machine.ssh("uname -r"),
        "release": host.machine.ssh("grep VERSION_CODENAME /etc/os-release"),
        "password": host.machine.login_by_password(),
    }


@pytest.fixture(scope="module")
def converted(start_host: StartHost) -> Iterator[Converted]:
    host = start_host()
    _sudo(host, "echo 'bring me back' >/root/marker; sync")
    before = _remembered(host)
    assert "bullseye" in before["release"]
    outcome = host.play("migrate", dualroot_consent=1, dualroot_snapshot="archive")
    assert outcome.returncode == 0, outcome.output[-6000:]
    assert outcome.result(host.name)["outcome"] == "converted"
    host.machine.power_down()
    kept = host.machine.folder / "converted.qcow2"
    shutil.copyfile(host.machine.disk, kept)
    yield Converted(host, kept, before)


def _require_old(converted: Converted, outcome: Any, *, lifeboat: bool, led: bool = True) -> dict[str, Any]:
    """Fail unless the old system runs and is what it was; return the result.

    ``led`` tells whether this run's controller saw the host go: only then it knows the downtime.
    """
    host = converted.host
    assert outcome.returncode == 0, outcome.output[-6000:]
    result: dict[str, Any] = outcome.result(host.name)
    assert (result["outcome"], result["mode"], result["slot"], result["fault"]) == ("restored", "restore", None, None)
    assert result["lifeboat"] is lifeboat
    assert (result["downtime_seconds"] or 0) > 0 if led else result["downtime_seconds"] is None
    # By the same host key, or there would be no connection.
    assert _remembered(host) == converted.before
    assert _sudo(host, "cat /root/marker") == "bring me back\n"
    assert "dualroot" not in host.machine.ssh("cat /proc/cmdline")
    assert _sudo(host, "systemctl --failed --no-legend --plain").strip() == ""
    # It is no host of this project any more, but for the evidence.
    assert _sudo(host, "ls /var/lib/dualroot").split() == ["runs"]
    (folder,) = [run for run in outcome.runs() if run.name == result["run_id"]]
    assert (Path(folder) / host.name / "stage-two.log").is_file()
    return result


@soak
def test_without_consent_nothing_is_changed(converted: Converted) -> None:
    host = converted.host
    converted.start()
    boot_id = host.boot_id()
    for options in ((), ("--check",)):
        outcome = host.play("restore", options=options)
        assert outcome.returncode == 0, outcome.output[-6000:]
        assert "verdict: proceed" in outcome.output and "othing was changed" in outcome.output
    assert host.boot_id() == boot_id
    assert "dualroot.slot=a" in host.machine.ssh("cat /proc/cmdline")
    assert "VB" in _sudo(host, "vgs --noheadings -o vg_name")
    assert _sudo(host, "ls /boot/dispatch | grep -c restore || true").strip() == "0"


@soak
def test_a_power_cut_in_the_restore_only_costs_time(converted: Converted) -> None:
    host = converted.host
    since = converted.start()
    controller = Controller(host, "restore", dualroot_consent=1)
    try:
        host.machine.wait_for_console("dualroot: restore: 3", _MIDDLE_SECONDS, since)
        host.machine.reset()
    except BaseException:
        print(controller.outcome().output[-4000:])
        raise
    result = _require_old(converted, controller.outcome(), lifeboat=True)
    assert result["resumed"] == 1
    assert "goes on from the lifeboat" in host.machine.console()[since:]


@soak
def test_what_a_controller_that_died_has_left_is_finished(converted: Converted) -> None:
    host = converted.host
    since = converted.start()
    controller = Controller(host, "restore", dualroot_consent=1)
    try:
        host.machine.wait_for_console("the old system starts next", _MIDDLE_SECONDS, since)
    finally:
        assert controller.kill()
    # Stage two can be reached as well, until it restarts.
    sealed = host.machine.console().rindex("the old system starts next")
    host.machine.wait_for_console(f"{host.name} login:", _MIDDLE_SECONDS, sealed)
    host.machine.wait_for_ssh()
    assert _remembered(host)["root"] != converted.before["root"], "the root has not grown yet"
    _require_old(converted, host.play("restore", dualroot_consent=1), lifeboat=True, led=False)


@soak
def test_without_a_lifeboat_the_archive_is_held_in_memory(converted: Converted) -> None:
    host = converted.host
    converted.start()
    outcome = host.play("restore", dualroot_consent=1, dualroot_lifeboat="none")
    _require_old(converted, outcome, lifeboat=False)
    # It starts again, and a second restore leaves it alone.
    host.machine.reset()
    host.machine.wait_for_ssh()
    outcome = host.play("restore")
    assert outcome.returncode == 0, outcome.output[-4000:]
    assert "Every host is what it should be already" in outcome.output


@soak
def test_a_restore_that_ends_before_its_first_write_gives_slot_b_back(converted: Converted) -> None:
    host = converted.host
    since = converted.start()
    shape = _sudo(host, _SLOTS)
    assert "VB" in shape

    # Stage two cannot be reached: it waits for the go, gives up, and slot A starts again.
    controller = Controller(host, "restore", dualroot_consent=1, dualroot_go_timeout=_GO_SECONDS)
    _end_without_a_go(host, since)
    outcome = controller.outcome()
    assert outcome.result(host.name)["fault"]["id"] == "stage_two.no_go", outcome.output[-6000:]
    assert _sudo(host, _SLOTS) == shape

    # The same without a controller that lives to see it.
    since = len(host.machine.console())
    controller = Controller(host, "restore", dualroot_consent=1, dualroot_go_timeout=_GO_SECONDS)
    _end_without_a_go(host, since, controller)
    assert "VB" not in _sudo(host, _SLOTS)
    outcome = host.play("disarm")
    assert outcome.returncode == 0, outcome.output[-6000:]
    assert _sudo(host, _SLOTS) == shape
    said = _sudo(host, "dualroot-slot status")
    assert "slot b  made  the restore was taken back" in said, said

    # Nothing is left to take back, and there is room for an update.
    outcome = host.play("disarm")
    assert outcome.returncode == 0 and "changed=0" in outcome.output, outcome.output[-4000:]
    assert _sudo(host, "ls /boot/dispatch /var/lib/dualroot | grep -cE '^(restore|stage)$' || true").strip() == "0"


def _end_without_a_go(host: Host, since: int, controller: Controller | None = None) -> None:
    """Cut stage two off, kill its controller if there is to be none, and wait for slot A."""
    machine = host.machine
    machine.wait_for_console("dualroot: attach", _MIDDLE_SECONDS, since)
    machine.forward_ssh(False)
    if controller is not None:
        assert controller.kill()
    machine.wait_for_console(f"{host.name} login:", _MIDDLE_SECONDS, machine.console().rindex("dualroot: attach"))
    machine.forward_ssh(True)
    if controller is not None:
        machine.wait_for_ssh()
