# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A UEFI host becomes a dual system in spite of a power cut; it starts with lost NVRAM and under BIOS too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.bundles import build_bundle
from tests.lab.hardware import Options
from tests.lab.machine import Machine, running
from tests.lab.playbook import Outcome

from .conftest import Host, remember
from .test_returned import Migration

#: Staging and half of stage two, on a busy machine.
CUT_SECONDS = 1800.0
LOADER = r"\EFI\dualroot\grubx64.efi"


@dataclass(frozen=True)
class Converted:
    """A converted host, and what it was before: the firmware's order, the ESP as lsblk shows it."""

    host: Host
    outcome: Outcome
    order: list[str]
    esp: dict[str, str]

    @property
    def machine(self) -> Machine:
        return self.host.machine


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Converted]:
    folder = tmp_path_factory.mktemp("uefi")
    bundle = build_bundle("debian12-dual")
    # Not NVMe: QEMU 7.2's loses requests of a guest with one processor ("QID 1 timeout, aborting", then the disk is
    # gone), and with two its emulation panics (tests/lab/accelerator.py). The power cuts have NVMe in short starts.
    with running(folder / "gw-0815", Options(image="debian12-uefi")) as machine:
        remember(pytestconfig, machine)
        host = Host(machine, bundle, folder / "reports")
        before = _order(machine), _esp(machine)
        migration = Migration(host, {})
        machine.wait_for_console("dualroot: restore:", CUT_SECONDS)
        machine.stop()
        machine.start()
        outcome = migration.outcome()
        assert outcome.returncode == 0, outcome.output[-4000:]
        yield Converted(host, outcome, *before)


def _order(machine: Machine) -> list[str]:
    shown = machine.ssh(
        "sudo python3 -c 'import struct; d = open(\"/sys/firmware/efi/efivars/BootOrder-"
        '8be4df61-93ca-11d2-aa0d-00e098032b8c", "rb").read()[4:]; '
        'print(*("%04X" % n for n, in struct.iter_unpack("<H", d)))\''
    )
    return shown.split()


def _loader(machine: Machine, number: str) -> str:
    path = f"/sys/firmware/efi/efivars/Boot{number}-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    shown = machine.ssh(f'sudo python3 -c \'print(open("{path}", "rb").read().hex())\'')
    found = re.search(r"\\EFI\\[\w\\.]+", bytes.fromhex(shown.strip()).replace(b"\0", b"").decode("latin-1"))
    return found[0] if found else ""


def _esp(machine: Machine) -> dict[str, str]:
    columns = "NAME,PARTTYPE,PARTUUID,START,SIZE,UUID,MOUNTPOINT"
    listed = json.loads(machine.ssh(f"lsblk --json --bytes --list --output {columns}"))["blockdevices"]
    esp = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
    return next({name: str(value) for name, value in one.items()} for one in listed if one["parttype"] == esp)


def _slot(machine: Machine) -> str:
    found = re.search(r"dualroot\.slot=(\w)", machine.ssh("cat /proc/cmdline"))
    return found[1] if found else ""


def test_it_is_converted(converted: Converted) -> None:
    result = converted.outcome.result(converted.host.name)
    assert (result["outcome"], result["fault"]) == ("converted", None)
    # The power failed once behind the point of no return, and the firmware started the lifeboat.
    assert result["resumed"] == 1
    assert converted.machine.console().count("goes on from the lifeboat") >= 1
    assert _slot(converted.machine) == "a"
    assert "VERSION_CODENAME=bookworm" in converted.machine.ssh("cat /etc/os-release")


def test_the_lifeboat_was_ready_before_the_first_write(converted: Converted) -> None:
    plan = converted.outcome.document(converted.host.name, "plan")
    assert plan["firmware"] == "uefi"
    assert plan["lifeboat"]["used"] is True
    config = converted.machine.ssh("sudo cat /boot/efi/EFI/dualroot/lifeboat.cfg")
    assert f"dualroot.run={plan['run_id']} dualroot.resume=1" in config


def test_the_esp_is_the_same(converted: Converted) -> None:
    assert _esp(converted.machine) == converted.esp
    assert converted.machine.ssh("sudo ls /boot/efi/EFI/dualroot/former/debian").split() == ["grubx64.efi"]


def test_the_entry_is_first_and_the_former_order_is_kept(converted: Converted) -> None:
    first, *rest = _order(converted.machine)
    assert _loader(converted.machine, first).lower() == LOADER.lower()
    # OVMF itself adds and removes entries of devices; those of before stay in their order.
    assert [number for number in rest if number in converted.order] == converted.order


def test_both_paths_hold_the_same_loader(converted: Converted) -> None:
    names = "/boot/efi/EFI/dualroot/grubx64.efi /boot/efi/EFI/BOOT/BOOTX64.EFI"
    assert len({line.split()[0] for line in converted.machine.ssh(f"sudo sha256sum {names}").splitlines()}) == 1
    assert "dispatch.cfg" in converted.machine.ssh("sudo cat /boot/efi/EFI/dualroot/switch.cfg")


def test_it_starts_again(converted: Converted) -> None:
    before = converted.host.boot_id()
    _start_anew(converted.machine)
    assert converted.host.boot_id() != before
    assert _slot(converted.machine) == "a"


def test_it_starts_where_the_firmware_has_forgotten_its_entries(converted: Converted) -> None:
    machine = converted.machine
    machine.power_down()
    machine.forget_firmware()
    machine.start()
    machine.wait_for_ssh()
    assert _slot(machine) == "a"
    # The fault was there: no entry of ours is left.
    assert not any(_loader(machine, number).lower() == LOADER.lower() for number in _order(machine))


def test_it_starts_under_bios(converted: Converted) -> None:
    _start_anew(converted.machine, firmware="bios", chipset="q35")
    assert converted.machine.ssh("test -d /sys/firmware/efi || echo bios") == "bios\n"
    assert _slot(converted.machine) == "a"


def _start_anew(machine: Machine, **options: str) -> None:
    machine.power_down()
    if options:
        machine.change(**options)
    machine.start()
    machine.wait_for_ssh()
