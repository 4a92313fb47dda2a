# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reader of the RHEL family's ``/etc/sysconfig/network-scripts`` (``nm-settings-ifcfg-rh(5)``,
``/usr/share/doc/initscripts/sysconfig.txt``): ``ifcfg-*``, ``route-*``, ``route6-*``, ``rule-*``.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Mapping
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
)
from ..routes import from_ip_words, make
from ..tree import assignments, names, read_text, settings
from .configured import Configured

FOLDER = "/etc/sysconfig/network-scripts"
GLOBAL_FILE = "/etc/sysconfig/network"
_NO = ("no", "n", "false", "f", "0", "off")
#: Leftovers of editors and packages, as initscripts leave them out.
_LEFTOVER = re.compile(r".*(~|\.bak|\.orig|\.rpmnew|\.rpmorig|\.rpmsave|\.old|\.swp)")
_FOREIGN = {
    "MASTER": "member of the bond {value}",
    "BONDING_OPTS": "bond with {value}",
    "BONDING_MASTER": "bond",
    "BRIDGE": "port of the bridge {value}",
    "TEAM_MASTER": "member of the team {value}",
    "TEAM_CONFIG": "team",
    "VLAN_ID": "VLAN {value}",
    "ETHTOOL_OPTS": "ETHTOOL_OPTS={value}",
    "IPADDR_START": "range of addresses from {value}",
    "IPV6TO4INIT": "6to4 tunnel",
    "KEY_MGMT": "wireless or 802.1X",
    "ESSID": "wireless network",
    "IPV6_PRIVACY": "",
}


def read(root: Path) -> Configured | None:
    """Return what the files say; ``None`` where there is no file but the loopback's."""
    main = settings(read_text(root, GLOBAL_FILE))
    files = [name for name in names(root, FOLDER) if name.startswith("ifcfg-")]
    files = [name for name in files if name != "ifcfg-lo" and not _LEFTOVER.fullmatch(name)]
    if not files:
        return None
    interfaces: dict[str, Interface] = {}
    unsupported: list[Unsupported] = []
    origin: dict[str, str] = {}
    started: set[str] = set()
    for file in files:
        path = f"{FOLDER}/{file}"
        values = settings(read_text(root, path))
        name = (values.get("DEVICE") or file[len("ifcfg-") :]).partition(":")[0]
        unsupported.extend(_foreign(root, path, values))
        interface = _interface(root, path, name, values, main, unsupported)
        if name in interfaces:
            interface = _joined(interfaces[name], interface)
        interfaces[name] = interface
        origin.setdefault(name, path)
        if values.get("ONBOOT", "yes").lower() not in _NO:
            started.add(name)
    unsupported.extend(_rules(root))
    return Configured(
        source=FOLDER,
        interfaces=tuple(interfaces.values()),
        started=frozenset(started),
        origin=tuple(origin.items()),
        unsupported=tuple(unsupported),
        dns=_global_dns(main),
    )


def _interface(
    root: Path,
    path: str,
    name: str,
    values: Mapping[str, str],
    main: Mapping[str, str],
    unsupported: list[Unsupported],
) -> Interface:
    protocol = values.get("BOOTPROTO", "none").lower()
    if protocol not in ("none", "static", "dhcp", "bootp", ""):
        unsupported.append(Unsupported(f"BOOTPROTO={protocol}", path, _line(root, path, "BOOTPROTO")))
    try:
        addresses = [*_addresses(values), *_addresses6(values)]
        routes = [*_gateways(name, values, main), *_route_files(root, path, name, values, unsupported)]
        mtu = int(values["MTU"]) if values.get("MTU") else None
        servers = tuple(plain_address(value) for value in _numbered(values, "DNS"))
    except ValueError as error:
        unsupported.append(Unsupported(str(error), path))
        addresses, routes, mtu, servers = [], [], None, ()
    return Interface(
        name=name,
        mac=mac_address(values.get("HWADDR", "")),
        dhcp4=protocol in ("dhcp", "bootp"),
        dhcp6=_is_yes(values.get("DHCPV6C")),
        accept_ra=_accept_ra(values),
        dhcp_client_id=values.get("DHCP_CLIENT_ID", ""),
        dhcp_dns=not _is_no(values.get("PEERDNS")),
        dhcp_gateway=not _is_no(values.get("DEFROUTE")),
        addresses=unique(addresses),
        routes=unique(routes),
        mtu=mtu,
        cloned_mac=mac_address(values.get("MACADDR", "")),
        dns=Dns(servers, tuple((values.get("SEARCH") or values.get("DOMAIN") or "").split())),
    )


def _addresses(values: Mapping[str, str]) -> list[str]:
    found = []
    for number in ("", *(str(index) for index in range(256))):
        address = values.get(f"IPADDR{number}")
        if address:
            mask = values.get(f"PREFIX{number}") or values.get(f"NETMASK{number}") or ""
            found.append(interface_address(address, mask or _ipcalc_prefix(address)))
    return found


def _ipcalc_prefix(address: str) -> str:
    # Without PREFIX and NETMASK the scripts take the mask of the address class (ipcalc -p).
    first = ipaddress.IPv4Address(address).packed[0]
    return "8" if first < 128 else "16" if first < 192 else "24"


def _addresses6(values: Mapping[str, str]) -> list[str]:
    if not _is_yes(values.get("IPV6INIT", "yes")):
        return []
    words = [values.get("IPV6ADDR", ""), *values.get("IPV6ADDR_SECONDARIES", "").split()]
    return [interface_address(word, "" if "/" in word else "64") for word in words if word]


def _gateways(name: str, values: Mapping[str, str], main: Mapping[str, str]) -> list[Route]:
    metric = int(values["METRIC"]) if values.get("METRIC") else None
    routes = []
    gateways = [values[key] for key in ("GATEWAY", "GATEWAY0", "GATEWAY1") if values.get(key)]
    if not gateways and main.get("GATEWAY") and _is_default_device(name, values, main):
        gateways = [main["GATEWAY"]]
    if gateways and not _is_no(values.get("DEFROUTE")):
        routes.append(Route(DEFAULT_V4, plain_address(gateways[0]), metric))
    gateway6 = values.get("IPV6_DEFAULTGW") or ""
    if not gateway6 and main.get("IPV6_DEFAULTGW") and main.get("IPV6_DEFAULTDEV", name) == name:
        gateway6 = main["IPV6_DEFAULTGW"] if values.get("IPV6ADDR") else ""
    if gateway6 and not _is_no(values.get("IPV6_DEFROUTE")):
        routes.append(Route(DEFAULT_V6, plain_address(gateway6.partition("%")[0])))
    return routes


def _is_default_device(name: str, values: Mapping[str, str], main: Mapping[str, str]) -> bool:
    """Tell whether the host's gateway is on this interface: named so, or in one of its networks."""
    if main.get("GATEWAYDEV"):
        return main["GATEWAYDEV"] == name
    gateway = ipaddress.ip_address(main["GATEWAY"])
    return any(gateway in ipaddress.ip_interface(entry).network for entry in _addresses(values))


def _route_files(
    root: Path, path: str, name: str, values: Mapping[str, str], unsupported: list[Unsupported]
) -> list[Route]:
    # The files go by the name of the ifcfg file, or of the device where it differs.
    profile = path.rpartition("ifcfg-")[2]
    routes = []
    for prefix, version in (("route-", 4), ("route6-", 6)):
        for suffix in unique((profile, name)):
            file = f"{FOLDER}/{prefix}{suffix}"
            text = read_text(root, file)
            if re.search(r"^\s*ADDRESS\d+=", text, re.MULTILINE):
                routes.extend(_numbered_routes(settings(text)))
                continue
            for number, line in enumerate(text.splitlines(), 1):
                words = shlex.split(line, comments=True)
                if not words:
                    continue
                try:
                    routes.append(from_ip_words(words, version=version))
                except ValueError as error:
                    unsupported.append(Unsupported(f"{line.strip()}: {error}", file, number))
    return routes


def _numbered_routes(values: Mapping[str, str]) -> list[Route]:
    routes = []
    for key in values:
        match = re.fullmatch(r"ADDRESS(\d+)", key)
        if match:
            number = match.group(1)
            mask = values.get(f"NETMASK{number}") or values.get(f"PREFIX{number}") or "32"
            target = f"{values[key]}/{mask}"
            routes.append(make(target, values.get(f"GATEWAY{number}", ""), values.get(f"METRIC{number}", "")))
    return routes


def _foreign(root: Path, path: str, values: Mapping[str, str]) -> list[Unsupported]:
    found = []
    kind = values.get("TYPE", "Ethernet").lower()
    if kind not in ("ethernet", "ether", ""):
        found.append(Unsupported(f"interface of the type {values['TYPE']}", path, _line(root, path, "TYPE")))
    for key, text in _FOREIGN.items():
        value = values.get(key, "")
        if text and value and value.lower() not in _NO:
            found.append(Unsupported(text.format(value=value), path, _line(root, path, key)))
    if _is_yes(values.get("VLAN")):
        found.append(Unsupported("VLAN", path, _line(root, path, "VLAN")))
    return found


def _rules(root: Path) -> list[Unsupported]:
    return [
        Unsupported("policy routing rule", f"{FOLDER}/{name}", 1)
        for name in names(root, FOLDER)
        if name.startswith(("rule-", "rule6-")) and not _LEFTOVER.fullmatch(name)
        if read_text(root, f"{FOLDER}/{name}").strip()
    ]


def _line(root: Path, path: str, key: str) -> int:
    lines = [line for line, found, _value in assignments(read_text(root, path)) if found == key]
    return max(lines, default=0)


def _global_dns(main: Mapping[str, str]) -> GlobalDns | None:
    servers = tuple(_numbered(main, "DNS"))
    search = tuple((main.get("SEARCH") or main.get("DOMAIN") or "").split())
    return GlobalDns(servers, search) if servers or search else None


def _numbered(values: Mapping[str, str], key: str) -> list[str]:
    return [values[f"{key}{number}"] for number in ("", *range(1, 10)) if values.get(f"{key}{number}")]


def _accept_ra(values: Mapping[str, str]) -> bool | None:
    if "IPV6INIT" not in values:
        return None
    return _is_yes(values["IPV6INIT"]) and not _is_no(values.get("IPV6_AUTOCONF"))


def _is_yes(value: str | None) -> bool:
    return value is not None and value.lower() in ("yes", "y", "true", "t", "1", "on")


def _is_no(value: str | None) -> bool:
    return value is not None and value.lower() in _NO


def _joined(first: Interface, second: Interface) -> Interface:
    """Join the file of an alias (``ifcfg-eth0:1``) to the interface's own."""
    return Interface(
        name=first.name,
        mac=first.mac or second.mac,
        dhcp4=first.dhcp4 or second.dhcp4,
        dhcp6=first.dhcp6 or second.dhcp6,
        accept_ra=first.accept_ra,
        dhcp_client_id=first.dhcp_client_id,
        dhcp_dns=first.dhcp_dns,
        dhcp_gateway=first.dhcp_gateway,
        addresses=unique(first.addresses + second.addresses),
        routes=unique(first.routes + second.routes),
        mtu=first.mtu or second.mtu,
        cloned_mac=first.cloned_mac or second.cloned_mac,
        dns=Dns(unique(first.dns.servers + second.dns.servers), unique(first.dns.search + second.dns.search)),
    )
