# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller fails, not the host: killed at three places, doubled, moved, and asked to change nothing.

One host goes through all of it, and is converted in the end. The tests build on each other.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from tests.lab.machine import Machine
from tests.lab.playbook import Outcome
from tests.support import matrix

from . import disk_content
from .conftest import Host, StartHost
from .controller import Controller

pytestmark = pytest.mark.skipif(
    not os.environ.get("DUALROOT_SOAK"), reason="takes half an hour; tests/vm/test_attach.py is the quick part"
)
#: What may differ after a look at a host: logs, and what every boot and login of Debian 11 changes.
MAY_DIFFER = re.compile(
    r"(var/log)(/|$)"
    r"|var/(lib/systemd|lib/dhcp|lib/logrotate|lib/sudo|cache|tmp|spool)(/|$)"
    r"|(tmp|root|home/admin)/\.ansible(/|$)"
    r"|etc/(adjtime|\.updated)$|var/\.updated$|etc/resolv\.conf\.dhclient"
)
#: Under emulation on a busy machine.
STAGING_SECONDS = 900.0
STAGE_TWO_SECONDS = 300.0
RESTORE_SECONDS = 900.0
#: Long enough for a test that looks around before the go; far more than any change of a host key may take.
GO_TIMEOUT = 1200
_LEVEL = "virtual machine"
#: From the start of the playbook, most of which it loads itself and checks the bundle.
KEY_SECONDS = 120.0


@pytest.fixture(scope="module")
def host(start_host: StartHost) -> Host:
    return start_host()


def _content(machine: Machine) -> disk_content.Content:
    machine.power_down()
    try:
        return disk_content.read(machine.disk, Path(machine.folder))
    finally:
        machine.start()
        machine.wait_for_ssh()


def _fault_of(outcome: Outcome, host: Host) -> dict[str, str]:
    assert outcome.returncode != 0, outcome.output[-4000:]
    fault: dict[str, str] = outcome.result(host.name)["fault"]
    return fault


def _status(host: Host) -> dict[str, str]:
    found: dict[str, str] = json.loads(host.machine.ssh("cat /run/dualroot/status.json 2>/dev/null || echo {}"))
    return found


def _move(host: Host, name: str) -> None:
    """Go on as another controller, which has none of the reports so far."""
    host.reports = host.reports.with_name(name)


def test_check_mode_writes_nothing(host: Host) -> None:
    before = _content(host.machine)
    judged = host.play("preflight", options=["--check"])
    planned = host.play("migrate", options=["--check"], dualroot_consent=1)
    after = _content(host.machine)
    assert (judged.returncode, planned.returncode) == (0, 0), judged.output[-3000:] + planned.output[-3000:]
    assert re.search(rf"^{host.name} +planned ", judged.output, re.MULTILINE), "the table is shown"
    assert "Check mode: nothing was changed." in planned.output
    assert not host.reports.exists()
    assert after.outside == before.outside
    assert disk_content.changes(before, after, MAY_DIFFER) == []
    matrix.record("controller: --check", "OLD", f"{len(after.files)} files are as before", _LEVEL)


def test_killed_while_it_stages(host: Host) -> None:
    controller = Controller(host, "migrate", dualroot_consent=1)
    staged = "sudo sh -c 'ls /var/lib/dualroot/stage | grep -c rootfs || true'"
    controller.wait_until(lambda: host.machine.ssh(staged).strip() not in ("", "0"), STAGING_SECONDS)
    assert len(controller.kill()) > 1, "workers were hit as well"
    lock = json.loads(host.machine.ssh("sudo cat /var/lib/dualroot/lock"))
    assert lock["run_id"] in [run.name for run in host.reports.iterdir()]
    assert host.machine.ssh("sudo ls /boot/dualroot 2>/dev/null || true") == "", "it was hit before the end of staging"
    matrix.record("controller: killed while it stages", "OLD", f"the lock of {lock['run_id']} was left", _LEVEL)


def test_a_second_controller_is_told_who_works_on_the_host(host: Host) -> None:
    # The lock of a process on another machine, of which this one cannot know whether it lives.
    host.machine.ssh("""sudo sed -i 's/"controller":"[^"]*"/"controller":"elsewhere"/' /var/lib/dualroot/lock""")
    lock = json.loads(host.machine.ssh("sudo cat /var/lib/dualroot/lock"))
    staged = host.machine.ssh("sudo ls -l /var/lib/dualroot/stage")
    boot_id = host.boot_id()
    _move(host, "second")
    fault = _fault_of(host.play("migrate", dualroot_consent=1), host)
    assert fault["id"] == "migrate.locked"
    assert lock["owner"] in fault["what"] and lock["run_id"] in fault["what"]
    assert "dualroot_break_lock=true" in fault["how"]
    assert host.boot_id() == boot_id
    assert host.machine.ssh("sudo ls -l /var/lib/dualroot/stage") == staged, "what the other has staged is left alone"
    assert json.loads(host.machine.ssh("sudo cat /var/lib/dualroot/lock")) == lock
    matrix.record("controller: a second one", "REFUSED", fault["what"], _LEVEL, fault["id"])


def test_killed_while_stage_two_waits_for_the_go(host: Host) -> None:
    controller = Controller(
        host, "migrate", dualroot_consent=1, dualroot_break_lock=True, dualroot_go_timeout=GO_TIMEOUT
    )
    try:
        host.machine.stop_at_reboot(STAGING_SECONDS)
    except BaseException:
        print(controller.outcome().output[-4000:])
        raise
    controller.kill()
    host.machine.start()
    host.machine.wait_for_ssh(STAGE_TWO_SECONDS)
    end = time.monotonic() + STAGE_TWO_SECONDS
    while _status(host).get("state") != "awaiting":
        assert time.monotonic() < end, _status(host)
        time.sleep(2)


def test_a_changed_host_key_is_told_within_seconds(host: Host) -> None:
    known = host.machine.known_hosts.read_text()
    # Another key of the same kind: the last characters before the comment are the key's own.
    host.machine.known_hosts.write_text(re.sub(r"(AAAA\S{60})\S{4}", r"\1AAAA", known))
    started = time.monotonic()
    try:
        fault = _fault_of(host.play("migrate", dualroot_consent=1), host)
    finally:
        host.machine.known_hosts.write_text(known)
    assert fault["id"] == "convert.host_key_changed"
    waited = time.monotonic() - started
    assert waited < KEY_SECONDS
    assert _status(host)["state"] == "awaiting", "stage two still waits for the right one"
    matrix.record("host key changed, a run attaches", "REFUSED", f"told after {waited:.0f} s", _LEVEL, fault["id"])


def test_attached_from_elsewhere_and_killed_while_it_restores(host: Host) -> None:
    _move(host, "third")
    controller = Controller(host, "migrate", dualroot_consent=1)
    controller.wait_until(lambda: _status(host).get("phase") == "restore", STAGING_SECONDS)
    controller.kill()
    status = _status(host)
    assert status["phase"] == "restore", "the cut landed in the middle of the restore"
    (run,) = host.reports.iterdir()
    assert run.name == status["run_id"], "it led the run that the first controller had begun"


def test_the_next_run_reports_the_truth(host: Host) -> None:
    _move(host, "fourth")
    outcome = host.play("migrate", dualroot_consent=1)
    assert outcome.returncode == 0, outcome.output[-4000:]
    result = outcome.result(host.name)
    assert (result["outcome"], result["fault"], result["slot"]) == ("converted", None, "a")
    assert [phase["name"] for phase in result["phases"]][:2] == ["attach", "load"]
    (run,) = host.reports.iterdir()
    names = {path.name for path in (run / host.name).iterdir()}
    wanted = {"plan.json", "capture-redacted.json", "journal.json", "result.json", "stage-two.log"}
    assert wanted <= names and "fault.json" not in names
    assert host.machine.ssh("sudo ls /var/lib/dualroot/lock 2>/dev/null || true") == "", "the host was given back"
    for moment in ("stage two waits for the go", "it restores, attached from elsewhere"):
        matrix.record(f"controller: killed while {moment}", "NEW", f"a later run led {run.name}", _LEVEL)


def test_a_converted_host_is_left_alone(host: Host) -> None:
    boot_id = host.boot_id()
    outcome = host.play("migrate", dualroot_consent=1)
    assert outcome.returncode == 0, outcome.output[-4000:]
    assert re.search(rf"^{host.name} .*changed=0 .*failed=0 ", outcome.output, re.MULTILINE), outcome.output[-800:]
    assert host.boot_id() == boot_id
    matrix.record("controller: a run on a converted host", "NEW", "changed=0, the same boot id", _LEVEL)
