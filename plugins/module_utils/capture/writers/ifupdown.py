# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writer for ifupdown: ``/etc/network/interfaces`` (``interfaces(5)``).

Interfaces are matched by MAC address with ifupdown's patterns (``auto mac/…=name``, ifupdown 0.8.17
and later), so that the stanza's name need not be the kernel's. A ``.link`` file would need to be in
the initramfs too, and renaming to ``eth0`` collides with the kernel's own names.
"""

from __future__ import annotations

from ..model import Dns, Interface, Network, Route, version_of

PATH = "/etc/network/interfaces"
_HEAD = """\
# Written by dualroot.migrate from the configuration of the old system.
# The name behind "=" is that of the stanzas below; the interface is found by its MAC address.

auto lo
iface lo inet loopback
"""


def render(network: Network) -> dict[str, str]:
    """Return ``{path: text}``; servers of the whole host go to the first interface (resolvconf)."""
    named = any(interface.dns.servers or interface.dns.search for interface in network.interfaces)
    spare = None if named or network.dns.from_dhcp else network.dns
    blocks = [_HEAD]
    for interface in network.interfaces:
        dns = interface.dns
        if spare is not None and interface.addresses:
            dns, spare = spare, None
        blocks.append(_block(interface, dns))
    return {PATH: "\n".join(blocks)}


def problems(network: Network) -> list[str]:
    """Return what cannot be said in stanzas, as texts."""
    found = []
    for interface in network.interfaces:
        if interface.dhcp_client_id not in ("", "mac", "duid"):
            found.append(f"the DHCP client identifier of {interface.name}")
        if interface.dhcp4 and not interface.dhcp_dns:
            found.append(f"DHCP without its name servers on {interface.name}")
        if interface.dhcp4 and not interface.dhcp_gateway:
            found.append(f"DHCP without its gateway on {interface.name}")
    return found


def _block(interface: Interface, dns: Dns) -> str:
    stanzas = _stanzas(interface)
    first = stanzas[0][1]
    if interface.cloned_mac:
        first.append(f"hwaddress {interface.cloned_mac}")
    if interface.mtu:
        # Not the option `mtu`: the methods dhcp and auto do not have it.
        first.append(f"pre-up ip link set dev $IFACE mtu {interface.mtu}")
    if dns.servers:
        first.append(f"dns-nameservers {' '.join(dns.servers)}")
    if dns.search:
        first.append(f"dns-search {' '.join(dns.search)}")
    text = f"auto mac/{interface.mac}={interface.name}\n"
    for head, lines in stanzas:
        text += f"iface {interface.name} {head}\n" + "".join(f"    {line}\n" for line in lines)
    return text


def _stanzas(interface: Interface) -> list[tuple[str, list[str]]]:
    """Return ``(family and method, lines)`` in an order that ifupdown can start; never none."""
    result = _family(interface, "inet", interface.dhcp4)
    result += _family(interface, "inet6", interface.dhcp6)
    return result


def _family(interface: Interface, family: str, dhcp: bool) -> list[tuple[str, list[str]]]:
    version = 6 if family == "inet6" else 4
    addresses = [entry for entry in interface.addresses if version_of(entry) == version]
    routes = [route for route in interface.routes if version_of(route.to) == version]
    stanzas: list[tuple[str, list[str]]] = []
    if dhcp:
        stanzas.append((f"{family} dhcp", []))
    elif version == 6 and interface.accept_ra and not addresses:
        stanzas.append((f"{family} auto", []))
    stanzas += [(f"{family} static", [f"address {address}"]) for address in addresses]
    if not stanzas and (version == 4 or routes or interface.accept_ra is False):
        stanzas.append((f"{family} manual", []))
    if not stanzas:
        return []
    gateway = next((route for route in routes if _is_plain_gateway(route)), None)
    first_static = next((lines for head, lines in stanzas if head.endswith("static")), None)
    if gateway and first_static is not None:
        first_static.append(f"gateway {gateway.via}")
        if gateway.metric is not None:
            first_static.append(f"metric {gateway.metric}")
        routes = [route for route in routes if route is not gateway]
    if version == 6 and interface.accept_ra is not None and not stanzas[0][0].endswith("auto"):
        setting = 1 if interface.accept_ra else 0
        if stanzas[0][0].endswith("manual"):
            # The method manual has no such option, and sysctl(8) may not be installed.
            stanzas[0][1].append(f"pre-up echo {setting} > /proc/sys/net/ipv6/conf/$IFACE/accept_ra")
        else:
            stanzas[0][1].append(f"accept_ra {setting}")
    stanzas[-1][1].extend(f"up {_command(route, version)}" for route in routes)
    return stanzas


def _is_plain_gateway(route: Route) -> bool:
    return route.is_default and bool(route.via) and not route.on_link and not route.source


def _command(route: Route, version: int) -> str:
    words = ["ip", f"-{version}", "route", "replace", route.to]
    words += ["via", route.via] if route.via else []
    words += ["dev", "$IFACE"]
    words += ["metric", str(route.metric)] if route.metric is not None else []
    words += ["src", route.source] if route.source else []
    words += ["onlink"] if route.on_link else []
    return " ".join(words)
