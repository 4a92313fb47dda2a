# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Molecule's scenarios want of a migrated host, asked of the host itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host
from testinfra.utils.ansible_runner import AnsibleRunner

from tests.lab.machine import Machine

testinfra_hosts = AnsibleRunner(os.environ["MOLECULE_INVENTORY_FILE"]).get_hosts("gw-0815")

LAB = Path(os.environ["DUALROOT_LAB"])
SAME = json.loads(Path(__file__).with_name("same.json").read_text())


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(LAB / "gw-0815")


@pytest.fixture(scope="module")
def report() -> Path:
    """The folder of the run that converted the host; the second converge only looked."""
    (result,) = LAB.glob("report/*/gw-0815/result.json")
    return result.parent


@pytest.fixture(scope="module")
def plan(report: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((report / "plan.json").read_text())
    return document


@pytest.fixture(scope="module")
def result(report: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((report / "result.json").read_text())
    return document


def test_the_run_says_converted(result: dict[str, Any], plan: dict[str, Any]) -> None:
    assert (result["outcome"], result["fault"], result["slot"]) == ("converted", None, "a")
    assert result["run_id"] == plan["run_id"]
    assert result["downtime_seconds"] > 0
    assert result["payload_bytes"] == plan["payload"]["size"]
    # The payload was read from the lifeboat, whatever its size.
    assert plan["lifeboat"]["used"] and result["lifeboat"]
    assert result["peak_ram_bytes"] <= 400 << 20


def test_the_second_converge_did_not_reboot(host: Host, result: dict[str, Any]) -> None:
    assert host.file("/proc/sys/kernel/random/boot_id").content_string.strip() == result["boot_ids"]["new"]


@pytest.mark.parametrize("what", SAME)
def test_what_is_carried_over_is_the_same(host: Host, what: str) -> None:
    before = json.loads((LAB / "before.json").read_text())[what].replace("\r", "").strip()
    assert before
    assert host.check_output(SAME[what]).strip() == before


def test_the_old_key_and_the_old_known_hosts_let_in(machine: Machine) -> None:
    # known_hosts was written when the source host was started and is checked strictly.
    assert machine.ssh("id -un").strip() == "admin"


def test_the_old_password_lets_in(machine: Machine) -> None:
    assert machine.login_by_password() == "admin"


def _block_devices(host: Host) -> dict[str, dict[str, Any]]:
    columns = "NAME,TYPE,START,SIZE,PARTTYPE,PARTUUID,PARTLABEL,FSTYPE,UUID,MOUNTPOINT,PTTYPE,PTUUID"
    with host.sudo():
        listed = json.loads(host.check_output(f"lsblk --json --bytes --list --output {columns}"))
    return {device["name"]: device for device in listed["blockdevices"]}


def test_the_partitions_are_those_of_the_plan(host: Host, plan: dict[str, Any]) -> None:
    found = _block_devices(host)
    layout = plan["layout"]
    assert found["vda"]["pttype"] == "gpt"
    assert found["vda"]["ptuuid"].lower() == layout["disk_guid"].lower()
    wanted = {
        f"vda{part['number']}": (part["start_lba"], part["sectors"] * 512, part["type_guid"].lower(), part["name"])
        for part in layout["partitions"]
    }
    seen = {
        name: (device["start"], device["size"], device["parttype"].lower(), device["partlabel"])
        for name, device in found.items()
        if device["type"] == "part"
    }
    assert seen == wanted


def test_the_volumes_are_those_of_the_plan(host: Host, plan: dict[str, Any]) -> None:
    with host.sudo():
        report = json.loads(
            host.check_output("lvs --reportformat json --units b --nosuffix -o vg_name,lv_name,lv_size")
        )
    seen = {(row["vg_name"], row["lv_name"], int(row["lv_size"])) for row in report["report"][0]["lv"]}
    groups = plan["layout"]["volume_groups"]
    wanted = {(group["name"], volume["name"], volume["bytes"]) for group in groups for volume in group["volumes"]}
    assert seen == wanted


def _names(layout: dict[str, Any]) -> dict[str, str]:
    """Return the kernel's name of each partition and volume, by the id that the layout gives it."""
    names = {part["id"]: f"vda{part['number']}" for part in layout["partitions"]}
    for group in layout["volume_groups"]:
        for volume in group["volumes"]:
            names[volume["id"]] = "-".join(part.replace("-", "--") for part in (group["name"], volume["name"]))
    return names


def test_the_file_systems_are_those_of_the_plan(host: Host, plan: dict[str, Any]) -> None:
    found, layout = _block_devices(host), plan["layout"]
    names = _names(layout)
    assert layout["file_systems"]
    for file_system in layout["file_systems"]:
        device = found[names[file_system["on"]]]
        assert (device["fstype"], device["uuid"]) == (file_system["kind"], file_system["uuid"])
        # The other slot's root waits to be filled; everything else is where the plan says.
        mounted = None if file_system["on"] == layout["slots"]["b"]["root"] else file_system["mount"]
        assert device["mountpoint"] == mounted
    assert "ro" in host.mount_point("/boot/dispatch").options


def test_the_slot_is_good(host: Host) -> None:
    with host.sudo():
        for name in ("/boot/dispatch/state", "/boot/dispatch/state.copy"):
            assert "\ndr_a=good\n" in host.file(name).content_string


def test_the_host_tells_what_it_is(host: Host, result: dict[str, Any], plan: dict[str, Any]) -> None:
    fact = json.loads(host.file("/etc/ansible/facts.d/dualroot.fact").content_string)
    assert fact["slot"] == "a"
    assert fact["run_id"] == result["run_id"]
    assert fact["layout"] == plan["layout"]["name"]
    assert f"dualroot.run={result['run_id']}" in host.file("/proc/cmdline").content_string


def test_nothing_failed_to_start(host: Host) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""
