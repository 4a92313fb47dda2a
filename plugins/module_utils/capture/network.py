# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network of a host: configuration read, compared with the kernel, and rendered.

Configuration is primary, for it is what the host gets after a reboot; the kernel's state checks it,
gives the permanent MAC addresses, and stands in where there is no reader for the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault
from ..runner import Runner
from .finding import finding
from .model import Dns, GlobalDns, Interface, Network, Route, Unsupported, network_from, unique
from .network_up import bring_up
from .readers import dhclient, ifcfg, ifupdown, kernel, networkd, resolv_conf
from .readers.configured import Configured
from .readers.kernel import Observed
from .tree import exists, names
from .writers import ifupdown as ifupdown_writer
from .writers import networkd as networkd_writer

__all__ = ["NetworkRead", "bring_up", "network_from", "read", "render", "render_problems"]

_RENDER: dict[str, Callable[[Network], dict[str, str]]] = {
    "ifupdown": ifupdown_writer.render,
    "networkd": networkd_writer.render,
}
_PROBLEMS: dict[str, Callable[[Network], list[str]]] = {
    "ifupdown": ifupdown_writer.problems,
    "networkd": networkd_writer.problems,
}
#: What makes name servers of /etc/network/interfaces take effect.
_DNS_HOOKS = ("/sbin/resolvconf", "/usr/sbin/resolvconf", "/etc/network/if-up.d/resolved")
#: Kinds of virtual interfaces that carry the host's own addresses, if they have any.
_CARRYING = ("bond", "bridge", "vlan", "team", "macvlan")


@dataclass(frozen=True)
class NetworkRead:
    """The model, what the kernel has (as a document by MAC address), and the findings."""

    network: Network
    runtime: dict[str, Any]
    findings: tuple[dict[str, str], ...]


def read(root: Path, runner: Runner) -> NetworkRead:
    """Read configuration and kernel state of the host under ``root`` and reconcile them."""
    observed = kernel.read(root, runner)
    by_dhclient = _with_live_dns(root, ifupdown.read(root)) or ifcfg.read(root)
    configured = dhclient.complete(root, by_dhclient) if by_dhclient else networkd.read(root)
    findings: list[dict[str, str]] = []
    unsupported = list(configured.unsupported) if configured else []
    interfaces = _configured_interfaces(configured, observed, findings) if configured else []
    interfaces += _inferred_interfaces(root, configured, interfaces, observed, unsupported, findings)
    for interface in interfaces:
        if not interface.mac:
            findings.append(finding(kinds.MAC_MISSING, name=interface.name))
    dns = _dns(root, configured, interfaces, findings)
    if unsupported:
        problems = "; ".join(str(entry) for entry in unsupported)
        findings.append(finding(kinds.NETWORK_UNSUPPORTED, problems=problems))
    network = Network(
        interfaces=tuple(interfaces),
        dns=dns,
        unsupported=unique(unsupported),
        source=configured.source if configured else "kernel",
    )
    return NetworkRead(network, _runtime(observed), tuple(findings))


def render(network: Network | Mapping[str, Any], renderer: str) -> dict[str, str]:
    """Return ``{path: text}`` of the configuration files for ``networkd`` or ``ifupdown``."""
    if renderer not in _RENDER:
        raise Fault(kinds.RENDERER_UNKNOWN, renderer=renderer)
    return _RENDER[renderer](network_from(network))


def render_problems(network: Network | Mapping[str, Any], renderer: str) -> list[dict[str, str]]:
    """Return findings of all that ``renderer`` cannot write; the reader's own are among them."""
    model = network_from(network)
    if renderer not in _RENDER:
        return [finding(kinds.RENDERER_UNKNOWN, renderer=renderer)]
    problems = [str(entry) for entry in model.unsupported] + _PROBLEMS[renderer](model)
    found = [finding(kinds.MAC_MISSING, name=entry.name) for entry in model.interfaces if not entry.mac]
    if problems:
        found.append(finding(kinds.NETWORK_UNSUPPORTED, problems="; ".join(problems)))
    return found


def _with_live_dns(root: Path, configured: Configured | None) -> Configured | None:
    """Drop ``dns-*`` lines of ifupdown that do nothing: only resolvconf and resolved's hook read them."""
    if configured is None or any(exists(root, path) for path in _DNS_HOOKS):
        return configured
    if not resolv_conf.read(root).servers:
        return configured
    interfaces = tuple(replace(entry, dns=Dns()) for entry in configured.interfaces)
    return replace(configured, interfaces=interfaces)


def _configured_interfaces(
    configured: Configured, observed: tuple[Observed, ...], findings: list[dict[str, str]]
) -> list[Interface]:
    result = []
    for interface in configured.interfaces:
        source = configured.where(interface.name)
        seen = _look_up(interface, observed)
        if seen is None:
            findings.append(finding(kinds.INTERFACE_ABSENT, name=interface.name, source=source))
            continue
        if interface.name not in configured.started and not seen.is_up:
            findings.append(finding(kinds.INTERFACE_NOT_STARTED, name=interface.name, source=source))
            continue
        interface = replace(interface, name=seen.name, mac=seen.interface.mac or interface.mac)
        findings.extend(_differences(interface, seen, source))
        result.append(interface)
    return result


def _look_up(interface: Interface, observed: tuple[Observed, ...]) -> Observed | None:
    for seen in observed:
        is_own = not seen.virtual_kind and not seen.has_master
        if interface.mac and interface.mac == seen.interface.mac and is_own:
            return seen
    return next((seen for seen in observed if not interface.mac and seen.name == interface.name), None)


def _differences(interface: Interface, seen: Observed, source: str) -> list[dict[str, str]]:
    """Compare one interface with the kernel; a lease is no difference where DHCP is configured."""
    found = []
    name, runtime = interface.name, seen.interface
    leases = interface.dhcp4 or interface.dhcp6 or interface.accept_ra is not False
    for address in runtime.addresses + (() if leases else seen.leased):
        # Old clients (dhclient before 4.3, udhcpc) set leased addresses without an end.
        if address not in interface.addresses and not _may_be_leased(interface, address):
            found.append(finding(kinds.RUNTIME_ADDRESS, name=name, address=address, source=source))
    for address in interface.addresses:
        if address not in runtime.addresses:
            found.append(finding(kinds.CONFIGURED_ADDRESS, name=name, address=address, source=source))
    have = {_bare(route) for route in runtime.routes}
    want = {_bare(route) for route in interface.routes}
    learned = {_bare(route) for route in seen.learned_routes}
    if not interface.dhcp4:
        for route in sorted(have - want):
            found.append(finding(kinds.RUNTIME_ROUTE, name=name, route=_shown(route), source=source))
    for route in sorted(want - have - learned):
        found.append(finding(kinds.CONFIGURED_ROUTE, name=name, route=_shown(route), source=source))
    if interface.dhcp4:
        address = next((entry for entry in seen.leased + runtime.addresses if "." in entry), "none")
        found.append(finding(kinds.DHCP_LEASE, name=name, address=address, mac=interface.mac))
    return found


def _may_be_leased(interface: Interface, address: str) -> bool:
    return interface.dhcp6 or interface.accept_ra is not False if ":" in address else interface.dhcp4


def _bare(route: Route) -> tuple[str, str]:
    return route.to, route.via


def _shown(route: tuple[str, str]) -> str:
    return f"{route[0]} via {route[1]}" if route[1] else route[0]


def _inferred_interfaces(
    root: Path,
    configured: Configured | None,
    known: list[Interface],
    observed: tuple[Observed, ...],
    unsupported: list[Unsupported],
    findings: list[dict[str, str]],
) -> list[Interface]:
    """Take from the kernel what no file tells of; virtual carriers of addresses are unsupported."""
    result = []
    named = {entry.name for entry in known}
    in_files = {entry.name for entry in configured.interfaces} if configured else set()
    for seen in observed:
        interface = seen.interface
        has_something = bool(interface.addresses or seen.leased)
        if seen.name in named or seen.name in in_files or not has_something:
            continue
        if not seen.virtual_kind:
            result.append(interface)
        elif seen.virtual_kind in _CARRYING and _is_needed(seen):
            text = f"{seen.virtual_kind} {seen.name} with {', '.join(interface.addresses + seen.leased)}"
            unsupported.append(Unsupported(text, "the running kernel"))
        else:
            findings.append(finding(kinds.VIRTUAL_INTERFACE, name=seen.name, kind=seen.virtual_kind))
    if result:
        shown = ", ".join(interface.name for interface in result)
        findings.append(finding(kinds.INFERRED, names=shown, manager=_manager(root, configured)))
    for interface in result:
        if interface.dhcp4:
            address = next(entry for seen in observed if seen.name == interface.name for entry in seen.leased)
            findings.append(finding(kinds.DHCP_LEASE, name=interface.name, address=address, mac=interface.mac))
    return result


def _is_needed(seen: Observed) -> bool:
    """A bridge of containers has addresses and no route to the world; a carrier has a next hop."""
    routes = seen.interface.routes + seen.learned_routes
    return seen.virtual_kind != "bridge" or any(route.via for route in routes)


def _manager(root: Path, configured: Configured | None) -> str:
    """Name what seems to manage the network, for a message."""
    if names(root, "/etc/netplan"):
        return "netplan"
    if names(root, "/etc/NetworkManager/system-connections") or exists(root, "/run/NetworkManager"):
        return "NetworkManager"
    if configured is None and names(root, "/etc/systemd/network"):
        return "systemd-networkd"
    return "an unknown program"


def _dns(
    root: Path,
    configured: Configured | None,
    interfaces: list[Interface],
    findings: list[dict[str, str]],
) -> GlobalDns:
    """Take what the files say of the host; otherwise ``resolv.conf`` as it is now."""
    current = resolv_conf.read(root)
    local = resolv_conf.local_servers(current)
    if local:
        findings.append(finding(kinds.LOCAL_RESOLVER, servers=", ".join(local)))
    if configured is not None and configured.dns is not None:
        stated = configured.dns
        return replace(current, servers=stated.servers, search=stated.search or current.search)
    has_lease = any(entry.dhcp4 or entry.dhcp6 for entry in interfaces)
    has_static = any(entry.dns.servers for entry in interfaces)
    return replace(current, from_dhcp=has_lease and not has_static)


def _runtime(observed: tuple[Observed, ...]) -> dict[str, Any]:
    """Return ``{mac: {name, addresses, leased, routes}}`` of the interfaces that are no virtual ones."""
    return {
        seen.interface.mac: {
            "name": seen.name,
            "addresses": list(seen.interface.addresses),
            "leased": list(seen.leased),
            "routes": [{"to": route.to, "via": route.via} for route in seen.interface.routes + seen.learned_routes],
        }
        for seen in observed
        if seen.interface.mac and not seen.virtual_kind and not seen.has_master
    }
