# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wanted of a host that was updated A to B, B to A, and rolled back to B, asked of the host itself."""

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
BEFORE = json.loads((LAB / "before.json").read_text())
SAME = json.loads((Path(__file__).parents[2] / "resources/tests/same.json").read_text())


@pytest.fixture(scope="module")
def results() -> list[dict[str, Any]]:
    """What each run says of itself, oldest first; the second converge only looked."""
    return [json.loads(path.read_text()) for path in sorted(LAB.glob("report/*/gw-0815/result.json"))]


def test_each_run_ended_well(results: list[dict[str, Any]]) -> None:
    assert [(one["outcome"], one["slot"], one["fault"]) for one in results] == [
        ("updated", "b", None),
        ("updated", "a", None),
        ("rolled_back", "b", None),
    ]
    assert all(one["downtime_seconds"] > 0 for one in results)


def test_memory_of_the_updates(results: list[dict[str, Any]]) -> None:
    assert all(0 < one["peak_ram_bytes"] <= 200 << 20 for one in results[:2])


def test_the_host_runs_what_it_was_rolled_back_to(host: Host) -> None:
    assert host.file("/etc/lab-version").content_string == "2\n"
    assert "dualroot.slot=b" in host.file("/proc/cmdline").content_string
    with host.sudo():
        for name in ("/boot/dispatch/state", "/boot/dispatch/state.copy"):
            text = host.file(name).content_string
            assert "\ndr_a=good\n" in text and "\ndr_b=good\n" in text
            assert "\ndr_order=b a\n" in text, "the next start is slot B again"


@pytest.mark.parametrize("what", BEFORE)
def test_the_host_is_the_same_host(host: Host, what: str) -> None:
    before = BEFORE[what].replace("\r", "").strip()
    assert before
    assert host.check_output(SAME[what]).strip() == before


def test_the_old_password_lets_in() -> None:
    assert Machine(LAB / "gw-0815").login_by_password() == "admin"


def test_what_is_shared_and_what_is_not(host: Host) -> None:
    with host.sudo():
        assert host.file("/data/shared").content_string == "shared\n"
        # Each slot has the file as it was when the slot was left or filled.
        assert host.file("/etc/plant/plant.conf").content_string == "second\n"
        assert not host.file("/srv/own").exists


def test_the_fact_tells_the_slot(host: Host, results: list[dict[str, Any]]) -> None:
    fact = json.loads(host.file("/etc/ansible/facts.d/dualroot.fact").content_string)
    assert (fact["slot"], fact["run_id"]) == ("b", results[0]["run_id"])


def test_the_host_itself_shows_both_slots(host: Host) -> None:
    with host.sudo():
        shown = json.loads(host.check_output("dualroot-slot status --json"))
    assert shown["running"] == "b"
    assert {name: (one["state"], one["version"]) for name, one in shown["slots"].items()} == {
        "a": ("good", "3"),
        "b": ("good", "2"),
    }


def test_status_tells_the_same(results: list[dict[str, Any]]) -> None:
    document = json.loads((LAB / "status.json").read_text())
    (status,) = document["hosts"].values() if isinstance(document["hosts"], dict) else document["hosts"]
    assert {name: (one["state"], one["version"]) for name, one in status["slots"].items()} == {
        "a": ("good", "3"),
        "b": ("good", "2"),
    }
    events = [(one["slot"], one["event"]) for one in status["outcomes"]]
    wanted = [("b", "installed"), ("b", "good"), ("a", "installed"), ("a", "good"), ("b", "rolled_back")]
    assert [one for one in events if one in wanted][-5:] == wanted


def test_nothing_failed_to_start(host: Host) -> None:
    assert host.check_output("systemctl --failed --plain --no-legend") == ""
