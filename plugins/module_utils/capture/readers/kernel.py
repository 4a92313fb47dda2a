# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reader of the running kernel's state, by ``ip`` of iproute2."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...runner import Runner
from ..model import Interface, Route, interface_address, mac_address
from ..routes import make
from ..tree import read_text
from .ip_text import parse_addresses, parse_routes

#: Routes that the kernel makes by itself, and those that a lease or an advertisement brought.
_AUTOMATIC = ("kernel", "redirect")
_LEARNED = ("ra", "dhcp")
#: ``addr_assign_type`` of sysfs for a MAC address that was set by somebody (netdevice.h, NET_ADDR_SET).
_ASSIGNED_BY_HAND = "3"


@dataclass(frozen=True)
class Observed:
    """One interface as the kernel has it.

    ``interface`` holds the addresses and routes that would be configured to get this state:
    addresses with an end stand for DHCP or router advertisements. ``leased`` are those addresses.
    """

    interface: Interface
    is_up: bool
    has_carrier: bool = False
    has_master: bool = False
    virtual_kind: str = ""
    leased: tuple[str, ...] = ()
    learned_routes: tuple[Route, ...] = ()

    @property
    def name(self) -> str:
        return self.interface.name


def read(root: Path, runner: Runner) -> tuple[Observed, ...]:
    """Return every interface but the loopback, in the kernel's order.

    Reads addresses and the main routing tables of both families; ``root`` serves sysfs.
    """
    links = read_links(root, runner)
    routes = [
        (4, _records(runner, ("-4", "route", "show", "table", "main"), parse_routes)),
        (6, _records(runner, ("-6", "route", "show", "table", "main"), parse_routes)),
    ]
    found = []
    for observed in links:
        static, learned = _routes_of(observed, routes)
        interface = replace(observed.interface, routes=static)
        found.append(replace(observed, interface=interface, learned_routes=learned))
    return tuple(found)


def read_links(root: Path, runner: Runner) -> tuple[Observed, ...]:
    """Return every interface but the loopback with its addresses, without routes."""
    records = _records(runner, ("-d", "addr", "show"), parse_addresses)
    return tuple(_observed(root, runner, record) for record in records if "LOOPBACK" not in record.get("flags", ()))


def _records(
    runner: Runner, words: Sequence[str], parse: Callable[[str], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Ask for JSON; an iproute2 that does not know ``-j``, or not for this subject, gives text."""
    result = runner.run(("ip", "-j", *words), accept=range(256))
    if result.returncode == 0:
        if not result.stdout.strip():
            return []
        try:
            records = json.loads(result.stdout)
        except ValueError:
            return parse(result.text)
        # iproute2 before 4.20 leaves empty objects for what a filter took out.
        return [record for record in records if record]
    return parse(runner.run(("ip", *words)).text)


def _observed(root: Path, runner: Runner, record: dict[str, Any]) -> Observed:
    name = record["ifname"]
    addresses, leased = [], []
    dhcp4 = dhcp6 = False
    advertised: bool | None = None
    for entry in record.get("addr_info", ()):
        if not entry.get("local") or entry.get("scope") in ("link", "host") or entry.get("temporary"):
            continue
        address = interface_address(f"{entry['local']}/{entry['prefixlen']}")
        if not entry.get("dynamic"):
            addresses.append(address)
            continue
        leased.append(address)
        if entry["family"] == "inet":
            dhcp4 = True
        elif entry["prefixlen"] == 128 and not entry.get("mngtmpaddr"):
            dhcp6 = True
        else:
            advertised = True
    mtu = record.get("mtu")
    mac, cloned = _permanent_mac(root, runner, record)
    interface = Interface(
        name=name,
        mac=mac,
        dhcp4=dhcp4,
        dhcp6=dhcp6,
        accept_ra=advertised,
        addresses=tuple(addresses),
        mtu=mtu if isinstance(mtu, int) and mtu != 1500 else None,
        cloned_mac=cloned,
    )
    kind = (record.get("linkinfo") or {}).get("info_kind", "")
    if not kind and record.get("link_type") != "ether":
        kind = str(record.get("link_type") or "unknown")
    flags = record.get("flags", ())
    return Observed(interface, "UP" in flags, "LOWER_UP" in flags, bool(record.get("master")), kind, tuple(leased))


def _permanent_mac(root: Path, runner: Runner, record: dict[str, Any]) -> tuple[str, str]:
    """Return ``(permanent, cloned)``; the second is empty where the first is in use."""
    current = mac_address(record.get("address") or "")
    permanent = mac_address(record.get("permaddr") or "")
    if not permanent and not record.get("linkinfo"):
        kind = read_text(root, f"/sys/class/net/{record['ifname']}/addr_assign_type").strip()
        if kind == _ASSIGNED_BY_HAND:
            # Older iproute2 does not show it; ethtool asks the driver (ETHTOOL_GPERMADDR).
            shown = runner.run(("ethtool", "-P", record["ifname"]), accept=range(256))
            permanent = mac_address(shown.text.rpartition("address:")[2])
    if permanent in ("", current, "00:00:00:00:00:00"):
        return current, ""
    return permanent, current


def _routes_of(
    observed: Observed, tables: Sequence[tuple[int, list[dict[str, Any]]]]
) -> tuple[tuple[Route, ...], tuple[Route, ...]]:
    """Return ``(static, learned)`` routes of one interface."""
    static, learned = [], []
    for version, records in tables:
        for record in records:
            if record.get("dev") != observed.name or record.get("type", "unicast") != "unicast":
                continue
            protocol = str(record.get("protocol", "boot"))
            if protocol in _AUTOMATIC or str(record.get("dst", "")).startswith(("fe80:", "ff00:")):
                continue
            route = _route(record, version)
            is_leased = observed.interface.dhcp4 and version == 4 and protocol in ("boot", *_LEARNED)
            if protocol in _LEARNED or (is_leased and route.is_default) or "expires" in record:
                learned.append(route)
            else:
                static.append(route)
    return tuple(static), tuple(learned)


def _route(record: dict[str, Any], version: int) -> Route:
    metric = record.get("metric")
    if version == 6 and metric == 1024:
        metric = None  # what the kernel gives to every IPv6 route that names none
    return make(
        str(record["dst"]),
        str(record.get("gateway") or ""),
        str(metric) if metric else "",
        "onlink" in record.get("flags", ()),
        str(record.get("prefsrc") or ""),
        version,
    )
