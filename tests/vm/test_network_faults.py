# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network fails in stage two: an attended run returns to the old system, an unattended one goes on.

The network is changed while the machine is off between the two systems, and mended when stage two is over, so
that the controller can see how it ended. ``test_returned`` has the missing go, these are the causes.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import matrix

from .conftest import Host, StartHost, soak
from .test_returned import before_stage_two

#: Stage two waits for drivers and links before it gives up, and then for the go.
STAGE_TWO_SECONDS = 2400.0
GO_SECONDS = 60
_DHCP = "sudo sed -i -e 's/inet static/inet dhcp/' -e '/address\\|netmask\\|gateway/d' /etc/network/interfaces"


@dataclass(frozen=True)
class Broken:
    """``change`` are options of the machine in stage two; ``fault`` is how an attended run ends, empty for NEW."""

    change: dict[str, Any]
    fault: str
    proof: str
    prepare: str = ""


FAULTS = {
    "link down": Broken({}, "stage_two.no_go", "waits for the go"),
    "wrong VLAN": Broken({"network": "elsewhere"}, "stage_two.no_go", "waits for the go"),
    "no answer by DHCP": Broken({"network": "silent"}, "stage_two.no_network", "got no address by DHCP", _DHCP),
    "renamed interface": Broken({"nic_place": "0x5"}, "", "ens5: renamed from eth0"),
}
CASES = [(name, attended) for name in FAULTS for attended in (True, False)]
HEALTHY = {"network": "user", "nic_place": "0x3"}


@pytest.fixture
def host(start_host: StartHost) -> Iterator[Host]:
    """A host for one test: it is not left running beside those of the others."""
    started = start_host()
    yield started
    started.machine.stop()


@soak
@pytest.mark.parametrize(
    ("name", "attended"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else ("attended" if value else "unattended"),
)
def test_network(host: Host, name: str, attended: bool) -> None:
    broken, machine = FAULTS[name], host.machine
    if broken.prepare:
        machine.ssh(broken.prepare)
        machine.ssh("sudo systemctl restart networking || :")
        machine.wait_for_ssh()
    boot_id = host.boot_id()
    variables = {"dualroot_attended": attended, "dualroot_go_timeout": GO_SECONDS, "dualroot_lifeboat": "auto"}
    with before_stage_two(host, **variables) as migration:
        machine.change(**broken.change)
        since = len(machine.console())
    if name == "link down":
        with machine.monitor() as monitor:
            monitor.execute("set_link", name="net0", up=False)
    if broken.fault or not attended:
        machine.stop_at_reboot(STAGE_TWO_SECONDS)
        said = machine.console()[since:]
        # The new system starts in the mended network; renamed is renamed for good.
        machine.change(**{**HEALTHY, **({"nic_place": "0x5"} if name == "renamed interface" else {})})
        machine.start()
    outcome = migration.outcome()
    said = machine.console()[since:]
    wanted_old = attended and bool(broken.fault)
    if attended:
        assert broken.proof in said
    elif name != "renamed interface":
        assert "nobody waits for it" in said or "this run is unattended" in said
    result = outcome.result(host.name)
    if wanted_old:
        assert outcome.returncode != 0
        assert (result["outcome"], result["fault"]["id"]) == ("returned", broken.fault), outcome.output[-4000:]
        assert host.boot_id() != boot_id
        assert machine.ssh("cat /etc/debian_version").startswith("11.")
    else:
        assert outcome.returncode == 0, outcome.output[-4000:]
        assert result["outcome"] == "converted"
        assert "trixie" in machine.ssh("cat /etc/os-release")
    row = f"network in stage two: {name}, {'attended' if attended else 'unattended'}"
    matrix.record(
        row, "OLD" if wanted_old else "NEW", broken.proof, "virtual machine", broken.fault if wanted_old else ""
    )


@soak
def test_a_changed_host_key_is_told_at_once(host: Host) -> None:
    machine = host.machine
    boot_id = host.boot_id()
    known = machine.folder / "known_hosts"
    with before_stage_two(host, dualroot_go_timeout=GO_SECONDS, dualroot_lifeboat="auto") as migration:
        since = len(machine.console())
    before = known.read_text()
    # Another key for the same address: what the controller sees of a machine that took the host's place.
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(machine.folder / "other")], check=True)
    kind, key = (machine.folder / "other.pub").read_text().split()[:2]
    known.write_text(f"{before.split()[0]} {kind} {key}\n")
    machine.wait_for_console("waits for the go", STAGE_TWO_SECONDS, since)
    reachable = time.monotonic()
    outcome = migration.outcome()
    waited = time.monotonic() - reachable
    known.write_text(before)
    result = outcome.result(host.name)
    assert result["fault"]["id"] == "convert.host_key_changed", outcome.output[-4000:]
    assert waited < GO_SECONDS
    machine.wait_for_console("stage_two.no_go", STAGE_TWO_SECONDS, since)
    machine.wait_for_ssh(STAGE_TWO_SECONDS)
    assert host.boot_id() != boot_id
    matrix.record(
        "host key changed", "OLD", f"told after {waited:.0f} s", "virtual machine", "convert.host_key_changed"
    )
