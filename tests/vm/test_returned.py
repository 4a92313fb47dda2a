# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage two that finds something wrong goes back to the old system, and the controller says why.

What goes wrong is arranged between the end of the old system and the start of stage two: the machine is
switched off at its reboot, changed, and switched on again. Each test so knows that its fault was there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.playbook import Outcome
from tests.support import matrix

from . import disk_content
from .conftest import Host, StartHost, soak

#: Preflight, snapshot, capture and staging, under emulation on a busy machine.
STAGING_SECONDS = 900.0
STAGE_TWO_SECONDS = 300.0


@pytest.fixture(scope="module")
def host(start_host: StartHost) -> Host:
    """One host for all of it: after each fault it must be as able to run as before."""
    return start_host()


class Migration:
    """``playbooks/migrate.yml`` in the background, with the machine off where stage two would begin."""

    def __init__(self, host: Host, variables: dict[str, Any]) -> None:
        self._outcomes: list[Outcome] = []
        self._thread = threading.Thread(target=self._run, args=(host, variables))
        self._thread.start()

    def _run(self, host: Host, variables: dict[str, Any]) -> None:
        self._outcomes.append(host.play("migrate", dualroot_consent=1, **variables))

    def outcome(self) -> Outcome:
        self._thread.join()
        return self._outcomes[0]


@contextmanager
def before_stage_two(host: Host, **variables: Any) -> Iterator[Migration]:
    """Start a migration; the body runs with the machine off. Afterwards the machine is on in stage two."""
    migration = Migration(host, variables)
    try:
        host.machine.stop_at_reboot(STAGING_SECONDS)
    except BaseException:
        # A playbook that failed before the reboot says more than that there was none.
        print(migration.outcome().output[-4000:])
        raise
    yield migration
    host.machine.start()


def _assert_returned(host: Host, outcome: Outcome, fault: str, boot_id: str) -> dict[str, Any]:
    """The run ended as returned, with this fault, in an old system that is as before."""
    assert outcome.returncode != 0
    result = outcome.result(host.name)
    assert (result["outcome"], result["fault"]["id"]) == ("returned", fault), outcome.output[-4000:]
    assert all(result["fault"][name] for name in ("phase", "what", "why", "how"))
    assert result["fault"]["what"] in outcome.output
    assert host.boot_id() != boot_id
    assert host.machine.ssh("cat /etc/debian_version; findmnt -no SOURCE /").split() == ["11.11", "/dev/vda1"]
    return result


def _record(row: str, result: dict[str, Any]) -> None:
    matrix.record(row, "OLD", result["fault"]["what"], "virtual machine", result["fault"]["id"])


@soak
@pytest.mark.parametrize(
    ("row", "change", "back", "fault", "lifeboat"),
    [
        ("disk: another serial number", {"serial": "SWAPPED"}, {"serial": "LAB0815"}, "disk.in_doubt", "required"),
        # With a lifeboat the payload needs no memory, and the environment starts with this much.
        (
            "memory: shrinks between preflight and stage two",
            {"memory_mib": 330},
            {"memory_mib": 1024},
            "stage_two.too_little_ram",
            "none",
        ),
    ],
    ids=["another disk", "too little memory"],
)
def test_a_machine_that_is_not_the_planned_one(
    host: Host, row: str, change: dict[str, Any], back: dict[str, Any], fault: str, lifeboat: str
) -> None:
    boot_id = host.boot_id()
    with before_stage_two(host, dualroot_lifeboat=lifeboat) as migration:
        host.machine.change(**change)
    outcome = migration.outcome()
    try:
        _record(row, _assert_returned(host, outcome, fault, boot_id))
    finally:
        host.machine.stop()
        host.machine.change(**back)
        host.machine.start()
        host.machine.wait_for_ssh()


@soak
def test_a_payload_damaged_after_staging(host: Host) -> None:
    boot_id = host.boot_id()
    with (
        before_stage_two(host, dualroot_lifeboat="none") as migration,
        disk_content.changed(host.machine.disk, host.machine.folder) as root,
    ):
        (payload,) = (root / "var/lib/dualroot/stage").glob("rootfs.tar.*")
        with payload.open("r+b") as file:
            file.seek(payload.stat().st_size // 2)
            file.write(b"damaged!")
    result = _assert_returned(host, migration.outcome(), "stage_two.file_damaged", boot_id)
    assert payload.name in result["fault"]["what"]
    _record("payload: damaged after staging, in memory", result)


def test_a_lifeboat_damaged_after_staging(host: Host) -> None:
    boot_id = host.boot_id()
    with before_stage_two(host) as migration, disk_content.changed(host.machine.disk, host.machine.folder) as root:
        lifeboat = json.loads((root / "var/lib/dualroot/stage/lifeboat.json").read_text())
        # The payload is in the lifeboat alone now.
        assert not list((root / "var/lib/dualroot/stage").glob("rootfs.tar.*"))
        start, length = lifeboat["parts"]["payload"]["extents"][0]
        with root.with_name("content.raw").open("r+b") as raw:
            raw.seek(start + length // 2)
            raw.write(b"damaged!")
    result = _assert_returned(host, migration.outcome(), "lifeboat.damaged", boot_id)
    assert "payload" in result["fault"]["what"]
    _record("payload: damaged after staging, in the lifeboat", result)


@soak
def test_a_convert_kernel_that_cannot_be_loaded(host: Host) -> None:
    """The boot loader takes the one-shot and comes back; with it still standing, it never looked."""
    boot_id = host.boot_id()
    with before_stage_two(host) as migration, disk_content.changed(host.machine.disk, host.machine.folder) as root:
        (kernel,) = (root / "boot/dualroot").glob("vmlinuz*")
        kernel.write_bytes(b"no kernel" * 1000)
    result = _assert_returned(host, migration.outcome(), "convert.ended_early", boot_id)
    _record("convert kernel: damaged after staging", result)


def test_no_go_from_the_controller(host: Host) -> None:
    boot_id = host.boot_id()
    machine = host.machine
    with before_stage_two(host, dualroot_go_timeout=20) as migration:
        since = len(machine.console())
    machine.forward_ssh(False)
    # The old system greets at its console again: stage two waited, gave up and went back.
    machine.wait_for_console("login:", STAGE_TWO_SECONDS, since)
    machine.forward_ssh(True)
    _record("no go from the controller", _assert_returned(host, migration.outcome(), "stage_two.no_go", boot_id))
