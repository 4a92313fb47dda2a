# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole migrations with a lifeboat: a payload larger than the memory, power cuts, and a hang.

Each test proves that its fault landed: the machine was off at that line of the console, or the watchdog said
that it would restart it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import cpio
from ansible_collections.dualroot.migrate.plugins.module_utils.stage_two.work import PATIENCE

from tests.lab.bundles import build_bundle
from tests.support import matrix

from . import disk_content
from .conftest import Host, StartHost, soak
from .test_returned import Migration, before_stage_two

MIB = 1 << 20
#: Staging of more than a gigabyte under emulation on a busy machine, and then the same again in stage two.
LONG_SECONDS = 2400.0
#: A tool that never ends, in place of the one that makes file systems.
HANGING = b"#!/bin/sh\nexec sleep 86400\n"
#: One that fails until the machine restarts, as a controller does that wants a reset.
FAILING = b"#!/bin/sh\necho no answer >&2\nexit 1\n"


def _cut(host: Host, line: str, seconds: float) -> None:
    """Let the power fail as soon as the console shows a line, and come back."""
    machine = host.machine
    since = len(machine.console())
    machine.wait_for_console(line, seconds, since)
    machine.stop()
    assert machine.process_id() is None
    machine.start()


@soak
def test_a_payload_larger_than_the_memory_survives_a_cut_in_restore(start_host: StartHost) -> None:
    started = start_host(memory_mib=1024)
    host = Host(started.machine, build_bundle("debian13-va-padded"), started.reports)
    machine = host.machine
    migration = Migration(host, {})

    _cut(host, "dualroot: restore: 40 %", LONG_SECONDS)
    outcome = migration.outcome()

    assert outcome.returncode == 0, outcome.output[-4000:]
    result = outcome.result(host.name)
    assert (result["outcome"], result["fault"], result["resumed"]) == ("converted", None, 1)
    assert result["payload_bytes"] > machine.options.memory_mib * MIB
    assert result["peak_ram_bytes"] <= 400 * MIB
    # It started by itself from the lifeboat and not from anything else, and began the restore anew.
    console = machine.console()
    assert console.count("goes on from the lifeboat") == 1
    assert "dualroot: restore: fresh" in console
    assert machine.ssh("stat --format=%s /srv/padding").strip() == str(1200 * MIB)
    assert "trixie" in machine.ssh("cat /etc/os-release")
    proof = f"payload {result['payload_bytes'] // MIB} MiB, memory 1024 MiB, cut at 40 % of restore"
    matrix.record("power cut: payload larger than the memory", "RESUME", proof, "virtual machine")


@soak
def test_a_cut_before_the_go_ends_in_the_old_system(start_host: StartHost) -> None:
    host = start_host(memory_mib=1024)
    machine = host.machine
    boot_id = host.boot_id()
    with before_stage_two(host) as migration:
        before = disk_content.read(machine.disk, Path(machine.folder))
        since = len(machine.console())
    # Nobody can give the go, so the moment is surely before it.
    machine.forward_ssh(False)
    machine.wait_for_console("waits for the go", LONG_SECONDS, since)
    machine.stop()
    after = disk_content.read(machine.disk, Path(machine.folder))
    assert after.outside == before.outside
    # The boot loader has used up the one-shot entry; all other files are as they were.
    assert disk_content.changes(before, after, _ONE_SHOT) == []
    machine.start()
    outcome = migration.outcome()
    assert outcome.returncode != 0
    assert outcome.result(host.name)["outcome"] == "returned"
    assert host.boot_id() != boot_id
    assert "11.11" in machine.ssh("cat /etc/debian_version")
    matrix.record("power cut: stage two waits for the go", "OLD", "console: waits for the go", "virtual machine")


_ONE_SHOT = re.compile(r"boot/grub/grubenv$|var/lib/dualroot/lifeboat$")


@soak
@pytest.mark.parametrize(
    ("tool", "outcome_wanted"),
    [("usr/sbin/blkid", "returned"), ("usr/sbin/mkfs.ext4", "converted")],
    ids=["before the point of no return", "after it"],
)
def test_a_hang_is_ended_by_the_watchdog(start_host: StartHost, tool: str, outcome_wanted: str) -> None:
    host = start_host(memory_mib=1024, watchdog="i6300esb")
    machine = host.machine
    arguments = "console=ttyS0 dualroot.watchdog=60"
    with (
        before_stage_two(host, dualroot_kernel_arguments=arguments) as migration,
        disk_content.changed(machine.disk, machine.folder) as root,
        # Behind the host's own part, so that it wins over the environment's. The lifeboat has the part as it was.
        (root / "boot/dualroot/host.cpio").open("ab") as file,
    ):
        file.write(_executable(cpio.pack({tool: HANGING})))
    outcome = migration.outcome()

    console = machine.console()
    stuck = re.search(r"dualroot: (\S+ has not moved for)", console)
    assert stuck is not None
    result = outcome.result(host.name)
    assert result["outcome"] == outcome_wanted, outcome.output[-4000:]
    if outcome_wanted == "converted":
        assert result["resumed"] == 1
        assert console.count("goes on from the lifeboat") == 1
        assert "trixie" in machine.ssh("cat /etc/os-release")
    else:
        assert "11.11" in machine.ssh("cat /etc/debian_version")
    kind = "RESUME" if outcome_wanted == "converted" else "OLD"
    matrix.record(f"hang in stage two: {tool.rpartition('/')[2]}", kind, f"console: {stuck[1]}", "virtual machine")


@soak
def test_a_step_that_only_a_restart_mends(start_host: StartHost) -> None:
    host = start_host(memory_mib=1024)
    machine = host.machine
    with (
        before_stage_two(host) as migration,
        disk_content.changed(machine.disk, machine.folder) as root,
        # Behind the host's own part, so that it wins over the environment's. The lifeboat has the part as it was.
        (root / "boot/dualroot/host.cpio").open("ab") as file,
    ):
        since = len(machine.console())
        file.write(_executable(cpio.pack({"usr/sbin/mkfs.ext4": FAILING})))
    outcome = migration.outcome()
    assert outcome.returncode != 0
    assert outcome.result(host.name)["fault"]["phase"] == "volumes", outcome.output[-4000:]
    assert "no answer" in outcome.output

    # Nobody comes.
    machine.wait_for_console("nobody came: begins again from the lifeboat", 2 * PATIENCE, since)
    machine.wait_for_console("the new system starts next", LONG_SECONDS, since)
    machine.wait_for_console(
        f"{host.name} login:", LONG_SECONDS, machine.console().rindex("the new system starts next")
    )
    machine.wait_for_ssh()
    outcome = host.play("migrate", dualroot_consent=1)
    assert outcome.returncode == 0, outcome.output[-4000:]
    result = outcome.result(host.name)
    assert (result["outcome"], result["fault"], result["resumed"]) == ("converted", None, 1)
    assert machine.console()[since:].count("goes on from the lifeboat") == 1
    assert "trixie" in machine.ssh("cat /etc/os-release")
    proof = "console: nobody came, begins again from the lifeboat"
    matrix.record("a step fails until the machine restarts", "RESUME", proof, "virtual machine")


def _executable(archive: bytes) -> bytes:
    """Let the files of an archive be run: modes 0600 (100600 octal, in hex) become 0755, folders too."""
    return archive.replace(b"00008180", b"000081ED").replace(b"000041C0", b"000041ED")
