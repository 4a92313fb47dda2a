# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reader of systemd-networkd's ``.network`` files (``systemd.network(5)``), as far as the model goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..model import (
    DEFAULT_V4,
    DEFAULT_V6,
    Dns,
    GlobalDns,
    Interface,
    Route,
    Unsupported,
    interface_address,
    mac_address,
    plain_address,
    unique,
    version_of,
)
from ..routes import make
from ..tree import exists, names, read_text
from ..writers.networkd import FOLDER, PREFIX, RESOLVED_FILE
from .configured import Configured

_ENABLED = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
_FALSE = ("no", "false", "off", "0")
_PLAIN = {
    "Match": ("Name", "MACAddress", "PermanentMACAddress", "Type", "OriginalName"),
    "Link": ("MACAddress", "MTUBytes", "RequiredForOnline", "RequiredFamilyForOnline", "ActivationPolicy"),
    "Network": [
        "Description",
        "DHCP",
        "IPv6AcceptRA",
        "Address",
        "Gateway",
        "DNS",
        "Domains",
        "NTP",
        "LinkLocalAddressing",
        "LLDP",
        "EmitLLDP",
        "DNSDefaultRoute",
        "MulticastDNS",
        "LLMNR",
        "DNSSEC",
        "ConfigureWithoutCarrier",
        "IgnoreCarrierLoss",
        "KeepConfiguration",
        "IPv6PrivacyExtensions",
        "DNSOverTLS",
    ],
    "Address": ("Address", "Broadcast", "Label"),
    "Route": ("Destination", "Gateway", "Metric", "GatewayOnLink", "PreferredSource"),
    "DHCPv4": (
        "ClientIdentifier",
        "UseDNS",
        "UseGateway",
        "UseRoutes",
        "RouteMetric",
        "UseMTU",
        "UseDomains",
        "UseHostname",
        "UseNTP",
        "SendHostname",
    ),
    "DHCPv6": ("UseDNS", "UseDomains", "UseNTP"),
    "IPv6AcceptRA": ("UseDNS", "UseDomains", "DHCPv6Client"),
}


@dataclass
class _Section:
    name: str
    line: int
    entries: list[tuple[int, str, str]] = field(default_factory=list)

    def get(self, key: str, default: str = "") -> str:
        return next((value for _line, found, value in reversed(self.entries) if found == key), default)

    def all(self, key: str) -> list[str]:
        return [value for _line, found, value in self.entries if found == key and value]


def read(root: Path) -> Configured | None:
    """Return what the files say; ``None`` where networkd is not enabled or has no files."""
    files = [name for name in names(root, FOLDER) if name.endswith((".network", ".netdev"))]
    enabled = exists(root, _ENABLED) or any(name.startswith(PREFIX) for name in files)
    if not files or not enabled:
        return None
    interfaces: dict[str, Interface] = {}
    unsupported: list[Unsupported] = []
    origin: dict[str, str] = {}
    for file in files:
        path = f"{FOLDER}/{file}"
        if file.endswith(".netdev"):
            unsupported.append(Unsupported("virtual device", path, 1))
            continue
        sections = list(_sections(read_text(root, path)))
        match = _merged(sections, "Match")
        mac = mac_address(match.get("PermanentMACAddress") or match.get("MACAddress"))
        name = file[len(PREFIX) : -len(".network")] if file.startswith(PREFIX) else match.get("Name")
        if not mac and (not name or any(letter in name for letter in "*?[! ")):
            # A pattern says nothing of single interfaces; the kernel's state is taken for those.
            continue
        name = name or mac
        interfaces.setdefault(name, _interface(name, mac, path, sections, unsupported))
        origin.setdefault(name, path)
    if not interfaces and not unsupported:
        return None
    return Configured(
        source=FOLDER,
        interfaces=tuple(interfaces.values()),
        started=frozenset(interfaces),
        origin=tuple(origin.items()),
        unsupported=tuple(unsupported),
        dns=_resolved(root),
    )


def _sections(text: str) -> Iterator[_Section]:
    section: _Section | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            if section is not None:
                yield section
            section = _Section(line.strip("[]"), number)
        elif section is not None:
            key, _equals, value = line.partition("=")
            section.entries.append((number, key.strip(), value.strip()))
    if section is not None:
        yield section


def _merged(sections: list[_Section], name: str) -> _Section:
    found = [section for section in sections if section.name == name]
    return _Section(name, 0, [entry for section in found for entry in section.entries])


def _interface(name: str, mac: str, path: str, sections: list[_Section], unsupported: list[Unsupported]) -> Interface:
    for section in sections:
        for line, key, value in section.entries:
            if key not in _PLAIN.get(section.name, ()):
                unsupported.append(Unsupported(f"[{section.name}] {key}={value}", path, line))
    link, network = _merged(sections, "Link"), _merged(sections, "Network")
    dhcp4, dhcp6 = _merged(sections, "DHCPv4"), _merged(sections, "DHCPv6")
    dhcp = network.get("DHCP", "no").lower()
    dns = [plain_address(word) for value in network.all("DNS") for word in value.split()]
    ra = network.get("IPv6AcceptRA").lower()
    use_dns = (dhcp4 if dhcp4.entries else dhcp6).get("UseDNS", "yes")
    has_dhcp4 = dhcp in ("yes", "ipv4", "true", "1", "on")
    identifier = dhcp4.get("ClientIdentifier", "duid")
    return Interface(
        name=name,
        mac=mac,
        dhcp4=has_dhcp4,
        dhcp6=dhcp in ("yes", "ipv6", "true", "1", "on"),
        accept_ra=None if not ra else ra not in _FALSE,
        dhcp_client_id=identifier if has_dhcp4 and identifier != "mac" else "",
        dhcp_dns=use_dns.lower() not in _FALSE,
        dhcp_gateway=dhcp4.get("UseGateway", "yes").lower() not in _FALSE,
        addresses=unique([interface_address(value) for section in sections for value in _addresses(section)]),
        routes=tuple(_routes(sections, network)),
        mtu=int(link.get("MTUBytes")) if link.get("MTUBytes").isdigit() else None,
        cloned_mac=mac_address(link.get("MACAddress")),
        dns=Dns(unique(dns), unique([word for value in network.all("Domains") for word in value.split()])),
    )


def _addresses(section: _Section) -> list[str]:
    return section.all("Address") if section.name in ("Network", "Address") else []


def _routes(sections: list[_Section], network: _Section) -> Iterator[Route]:
    for value in network.all("Gateway"):
        gateway = plain_address(value)
        yield Route(DEFAULT_V6 if version_of(gateway) == 6 else DEFAULT_V4, gateway)
    for section in sections:
        if section.name != "Route":
            continue
        via = section.get("Gateway")
        target = section.get("Destination") or "default"
        yield make(
            target,
            via,
            section.get("Metric"),
            section.get("GatewayOnLink").lower() in ("yes", "true", "1", "on"),
            section.get("PreferredSource"),
        )


def _resolved(root: Path) -> GlobalDns | None:
    resolve = _merged(list(_sections(read_text(root, RESOLVED_FILE))), "Resolve")
    servers = [plain_address(word) for value in resolve.all("DNS") for word in value.split()]
    search = [word for value in resolve.all("Domains") for word in value.split()]
    return GlobalDns(tuple(servers), tuple(search)) if servers or search else None
