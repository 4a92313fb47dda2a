# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bringing the captured network up where nothing else does: in stage two and in recovery.

Interfaces are found by their permanent MAC address. Needs ``ip``, and ``busybox udhcpc`` with its
script for DHCP. Everything is done with ``replace``, so that a second call changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault
from ..runner import Runner
from .model import Interface, Network, Route, network_from, version_of
from .readers import kernel
from .readers.kernel import Observed

UDHCPC_SCRIPT = "/usr/lib/dualroot/udhcpc.script"
#: Seconds for drivers to bring up every interface, and then for links to come up: a switch with
#: spanning tree keeps a port silent for 30 s, an autonegotiation takes 3 s.
INTERFACE_SECONDS = 30
CARRIER_SECONDS = 45
#: Tries and pause of the DHCP client; together they outlast a slow switch port.
DHCP_TRIES, DHCP_PAUSE = 15, 3


def bring_up(
    network: Network | Mapping[str, Any],
    runner: Runner,
    *,
    root: Path = Path("/"),
    strict: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Fault]:
    """Bring up every interface of the model; returns what failed.

    ``network`` is the part ``network`` of a capture. With ``strict`` the first failure is raised,
    after everything has been tried; recovery takes what it can get.
    """
    model = network_from(network)
    faults: list[Fault] = []
    runner.run(("ip", "link", "set", "dev", "lo", "up"))
    present = _find(model, runner, root, sleep, faults)
    for interface, name in present:
        _attempt(faults, _link_up, root, runner, interface, name)
    _wait_for_carrier([name for _interface, name in present], runner, root, sleep)
    leases = _leases(network)
    for interface, name in present:
        for address in interface.addresses:
            _attempt(faults, _add_address, runner, name, address)
        if interface.dhcp4:
            _attempt(faults, _dhcp, root, runner, interface, name, leases.get(interface.mac, ""))
    for interface, name in present:
        # Targets without a next hop first: they may be the way to the next hops of the others.
        for route in sorted(interface.routes, key=lambda entry: (bool(entry.via), entry.is_default)):
            _attempt(faults, _add_route, runner, name, route)
    if strict and faults:
        raise faults[0]
    return faults


def _attempt(faults: list[Fault], action: Callable[..., None], *arguments: Any) -> None:
    try:
        action(*arguments)
    except Fault as fault:
        faults.append(fault)


def _find(
    model: Network,
    runner: Runner,
    root: Path,
    sleep: Callable[[float], None],
    faults: list[Fault],
) -> list[tuple[Interface, str]]:
    """Return ``(interface, its name here)``, after waiting for drivers that take their time."""
    found: dict[str, str] = {}
    for _second in range(INTERFACE_SECONDS):
        found = {seen.interface.mac: seen.name for seen in _physical(root, runner)}
        if all(interface.mac in found for interface in model.interfaces):
            break
        sleep(1)
    for interface in model.interfaces:
        if interface.mac not in found:
            faults.append(Fault(kinds.INTERFACE_MISSING, mac=interface.mac, name=interface.name))
    return [(entry, found[entry.mac]) for entry in model.interfaces if entry.mac in found]


def _physical(root: Path, runner: Runner) -> list[Observed]:
    # Some hypervisors show an interface a second time, with the same address, as a part of the first.
    links = kernel.read_links(root, runner)
    return [seen for seen in links if not seen.virtual_kind and not seen.has_master]


def _link_up(root: Path, runner: Runner, interface: Interface, name: str) -> None:
    if interface.accept_ra is not None:
        setting = root / f"proc/sys/net/ipv6/conf/{name}/accept_ra"
        if setting.exists():
            setting.write_text("1" if interface.accept_ra else "0")
    if interface.cloned_mac:
        runner.run(("ip", "link", "set", "dev", name, "address", interface.cloned_mac))
    if interface.mtu:
        runner.run(("ip", "link", "set", "dev", name, "mtu", str(interface.mtu)))
    runner.run(("ip", "link", "set", "dev", name, "up"))


def _wait_for_carrier(names: list[str], runner: Runner, root: Path, sleep: Callable[[float], None]) -> None:
    """Wait, but not for ever: a second interface may rightly have no cable."""
    for _second in range(CARRIER_SECONDS):
        ready = {seen.name for seen in _physical(root, runner) if seen.has_carrier}
        if ready.issuperset(names):
            return
        sleep(1)


def _add_address(runner: Runner, name: str, address: str) -> None:
    # The address is this host's own and was in use a minute ago: duplicate address detection would
    # only make it unusable for some seconds.
    options = ("nodad",) if version_of(address) == 6 else ("brd", "+")
    runner.run(("ip", "addr", "replace", address, *options, "dev", name))


def _add_route(runner: Runner, name: str, route: Route) -> None:
    words = ["ip", f"-{version_of(route.to)}", "route", "replace", route.to]
    words += ["via", route.via] if route.via else []
    words += ["dev", name]
    words += ["metric", str(route.metric)] if route.metric is not None else []
    words += ["src", route.source] if route.source else []
    words += ["onlink"] if route.on_link else []
    runner.run(words)


def _dhcp(root: Path, runner: Runner, interface: Interface, name: str, lease: str) -> None:
    """Get a lease; the client stays in the background and renews it."""
    pid_file = root / f"run/udhcpc.{name}.pid"
    if pid_file.exists() and (root / "proc" / pid_file.read_text().strip()).is_dir():
        return
    argv = ["busybox", "udhcpc", "-i", name, "-s", UDHCPC_SCRIPT, "-p", f"/run/udhcpc.{name}.pid"]
    argv += ["-n", "-t", str(DHCP_TRIES), "-T", str(DHCP_PAUSE), *_client_id(interface)]
    argv += ["-r", lease] if lease else []
    result = runner.run(argv, accept=range(256))
    if result.returncode != 0:
        seconds = DHCP_TRIES * DHCP_PAUSE
        raise Fault(kinds.LEASE_MISSING, name=interface.name, mac=interface.mac, seconds=seconds)


def _client_id(interface: Interface) -> list[str]:
    """dhclient sends no client identifier unless told to, udhcpc sends the MAC address unless told not."""
    if interface.dhcp_client_id in ("mac", "duid"):
        return []
    digits = interface.dhcp_client_id.replace(":", "")
    return ["-x", f"0x3d:{digits}"] if digits else ["-C"]


def _leases(network: Network | Mapping[str, Any]) -> dict[str, str]:
    """Return ``{mac: address}`` of the leases that the old system had, to ask for them again."""
    if isinstance(network, Network):
        return {}
    return {
        mac: next((entry.partition("/")[0] for entry in seen.get("leased", ()) if ":" not in entry), "")
        for mac, seen in (network.get("runtime") or {}).items()
    }
