# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writer for systemd-networkd: one ``.network`` file per interface (``systemd.network(5)``).

Interfaces are matched by ``PermanentMACAddress=`` (systemd 245 and later): ``MACAddress=`` would
match VLANs and bridges on top of the interface as well, and a name may differ on the new system.
"""

from __future__ import annotations

from ..model import GlobalDns, Interface, Network, Route

FOLDER = "/etc/systemd/network"
PREFIX = "10-dualroot-"
RESOLVED_FILE = "/etc/systemd/resolved.conf.d/10-dualroot.conf"
HEAD = "# Written by dualroot.migrate from the configuration of the old system.\n"

_DHCP = {(False, False): "no", (True, False): "ipv4", (False, True): "ipv6", (True, True): "yes"}


def path_of(interface: Interface) -> str:
    return f"{FOLDER}/{PREFIX}{interface.name}.network"


def render(network: Network) -> dict[str, str]:
    """Return ``{path: text}``; the resolver's file only where the host has servers of its own."""
    ways_out = [entry for entry in network.interfaces if _may_lead_out(entry)]
    files = {path_of(entry): _file(entry, needed=not ways_out or entry in ways_out) for entry in network.interfaces}
    if network.dns.servers and not network.dns.from_dhcp:
        files[RESOLVED_FILE] = _resolved(network.dns)
    return files


def problems(network: Network) -> list[str]:
    """Return what cannot be said in ``.network`` files, as texts."""
    return [
        f"the DHCP client identifier of {interface.name}"
        for interface in network.interfaces
        if interface.dhcp_client_id not in ("", "mac", "duid")
    ]


def _may_lead_out(interface: Interface) -> bool:
    return interface.dhcp4 or interface.dhcp6 or any(route.is_default for route in interface.routes)


def _file(interface: Interface, needed: bool) -> str:
    sections = [
        _section("Match", [("PermanentMACAddress", interface.mac)]),
        _section("Link", _link(interface, needed)),
        _section("Network", _network(interface)),
    ]
    if interface.dhcp4:
        sections.append(_section("DHCPv4", _dhcp4(interface)))
    if interface.dhcp6 and not interface.dhcp_dns:
        sections.append(_section("DHCPv6", [("UseDNS", "no")]))
    sections.extend(_section("Route", _route(route)) for route in interface.routes)
    return HEAD + "\n".join(section for section in sections if section)


def _section(name: str, lines: list[tuple[str, str]]) -> str:
    if not lines:
        return ""
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in lines)


def _link(interface: Interface, needed: bool) -> list[tuple[str, str]]:
    # A port without a cable would hold up everything that waits for network-online.target.
    lines = [] if needed else [("RequiredForOnline", "no")]
    if interface.cloned_mac:
        lines.append(("MACAddress", interface.cloned_mac))
    if interface.mtu:
        lines.append(("MTUBytes", str(interface.mtu)))
    return lines


def _network(interface: Interface) -> list[tuple[str, str]]:
    lines = [("DHCP", _DHCP[interface.dhcp4, interface.dhcp6])]
    if interface.accept_ra is not None:
        lines.append(("IPv6AcceptRA", "yes" if interface.accept_ra else "no"))
    lines.extend(("Address", address) for address in interface.addresses)
    lines.extend(("DNS", server) for server in interface.dns.servers)
    if interface.dns.search:
        lines.append(("Domains", " ".join(interface.dns.search)))
    return lines


def _dhcp4(interface: Interface) -> list[tuple[str, str]]:
    # dhclient and initscripts are known to servers by the MAC address, networkd by a DUID unless told.
    identifier = "duid" if interface.dhcp_client_id == "duid" else "mac"
    lines = [("ClientIdentifier", identifier)]
    if not interface.dhcp_dns:
        lines.append(("UseDNS", "no"))
    if not interface.dhcp_gateway:
        lines.append(("UseGateway", "no"))
    return lines


def _route(route: Route) -> list[tuple[str, str]]:
    lines = [("Destination", route.to)]
    if route.via:
        lines.append(("Gateway", route.via))
    if route.metric is not None:
        lines.append(("Metric", str(route.metric)))
    if route.on_link:
        lines.append(("GatewayOnLink", "yes"))
    if route.source:
        lines.append(("PreferredSource", route.source))
    return lines


def _resolved(dns: GlobalDns) -> str:
    lines = [("DNS", " ".join(dns.servers))]
    if dns.search:
        lines.append(("Domains", " ".join(dns.search)))
    return HEAD + _section("Resolve", lines)
