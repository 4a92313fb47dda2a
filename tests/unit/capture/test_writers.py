# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writers: golden texts, and that a reader gets back what was written."""

from __future__ import annotations

import string
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import network
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.model import (
    Dns,
    GlobalDns,
    Interface,
    Network,
    Route,
    network_from,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.readers import ifupdown, networkd
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.writers import resolv_conf
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLE = Network(
    interfaces=(
        Interface(
            name="ens3",
            mac="52:54:00:12:34:56",
            accept_ra=False,
            addresses=("192.0.2.10/24", "192.0.2.11/24", "2001:db8:1::10/64"),
            routes=(
                Route("0.0.0.0/0", "192.0.2.1", 100),
                Route("10.20.0.0/16", "192.0.2.254"),
                Route("::/0", "fe80::1", on_link=True),
            ),
            mtu=9000,
            dns=Dns(("192.0.2.53",), ("example.com", "example.net")),
        ),
        Interface(name="ens4", mac="52:54:00:12:34:57", dhcp4=True),
    ),
    dns=GlobalDns(("192.0.2.53", "192.0.2.54"), ("example.com",), options=("timeout:2",)),
)
NETWORKD = """\
# Written by dualroot.migrate from the configuration of the old system.
[Match]
PermanentMACAddress=52:54:00:12:34:56

[Link]
MTUBytes=9000

[Network]
DHCP=no
IPv6AcceptRA=no
Address=192.0.2.10/24
Address=192.0.2.11/24
Address=2001:db8:1::10/64
DNS=192.0.2.53
Domains=example.com example.net

[Route]
Destination=0.0.0.0/0
Gateway=192.0.2.1
Metric=100

[Route]
Destination=10.20.0.0/16
Gateway=192.0.2.254

[Route]
Destination=::/0
Gateway=fe80::1
GatewayOnLink=yes
"""
NETWORKD_DHCP = """\
# Written by dualroot.migrate from the configuration of the old system.
[Match]
PermanentMACAddress=52:54:00:12:34:57

[Network]
DHCP=ipv4

[DHCPv4]
ClientIdentifier=mac
"""
IFUPDOWN = """\
# Written by dualroot.migrate from the configuration of the old system.
# The name behind "=" is that of the stanzas below; the interface is found by its MAC address.

auto lo
iface lo inet loopback

auto mac/52:54:00:12:34:56=ens3
iface ens3 inet static
    address 192.0.2.10/24
    gateway 192.0.2.1
    metric 100
    pre-up ip link set dev $IFACE mtu 9000
    dns-nameservers 192.0.2.53
    dns-search example.com example.net
iface ens3 inet static
    address 192.0.2.11/24
    up ip -4 route replace 10.20.0.0/16 via 192.0.2.254 dev $IFACE
iface ens3 inet6 static
    address 2001:db8:1::10/64
    accept_ra 0
    up ip -6 route replace ::/0 via fe80::1 dev $IFACE onlink

auto mac/52:54:00:12:34:57=ens4
iface ens4 inet dhcp
"""


def test_networkd():
    files = network.render(EXAMPLE, "networkd")
    assert files["/etc/systemd/network/10-dualroot-ens3.network"] == NETWORKD
    assert files["/etc/systemd/network/10-dualroot-ens4.network"] == NETWORKD_DHCP
    assert "DNS=192.0.2.53 192.0.2.54\n" in files["/etc/systemd/resolved.conf.d/10-dualroot.conf"]


def test_ifupdown():
    assert network.render(EXAMPLE, "ifupdown") == {"/etc/network/interfaces": IFUPDOWN}


def test_resolv_conf():
    expected = "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.com example.net\noptions timeout:2\n"
    assert resolv_conf.render(EXAMPLE) == expected


def test_unknown_renderer():
    with pytest.raises(Fault) as fault:
        network.render(EXAMPLE, "netplan")
    assert fault.value.id == "capture.renderer_unknown"
    assert [entry["id"] for entry in network.render_problems(EXAMPLE, "netplan")] == ["capture.renderer_unknown"]


def test_problems():
    dhcp = replace(EXAMPLE.interfaces[1], dhcp_gateway=False, dhcp_client_id="00:11:22")
    model = Network(interfaces=(dhcp, replace(dhcp, name="ens5", mac="")))
    (mac, problem) = network.render_problems(model, "ifupdown")
    assert mac["id"] == "capture.mac_missing"
    assert problem["id"] == "capture.network_unsupported"
    assert "DHCP without its gateway on ens4" in problem["what"]
    assert "client identifier of ens4" in network.render_problems(model, "networkd")[1]["what"]
    assert network.render_problems(EXAMPLE, "networkd") == []
    assert network.render_problems(EXAMPLE.to_document(), "ifupdown") == []


_octets = st.integers(1, 250)
_v4 = st.builds("10.{}.{}.{}".format, _octets, _octets, _octets)
_v6 = st.builds("2001:db8:{:x}::{:x}".format, _octets, _octets)
_mac = st.builds("52:54:00:{:02x}:{:02x}:{:02x}".format, _octets, _octets, _octets)
_label = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_metric = st.none() | st.integers(1, 9999)
_route4 = st.builds(
    Route,
    to=st.builds("172.{}.0.0/16".format, st.integers(16, 31)),
    via=_v4 | st.just(""),
    metric=_metric,
    on_link=st.just(False),
    source=_v4 | st.just(""),
)
_route6 = st.builds(Route, to=st.builds("2001:db8:{:x}::/64".format, _octets), via=_v6, metric=_metric)


@st.composite
def _interfaces(draw, number):
    v4 = draw(st.lists(_v4.map("{}/24".format), unique=True, max_size=3))
    v6 = draw(st.lists(_v6.map("{}/64".format), unique=True, max_size=2))
    routes = draw(st.lists(_route4, unique=True, max_size=2))
    if v4 and draw(st.booleans()):
        routes.insert(0, Route("0.0.0.0/0", draw(_v4), draw(_metric)))
    gateway6 = bool(v6) and draw(st.booleans())
    if gateway6:
        routes += [Route("::/0", draw(_v6))]
    routes += draw(st.lists(_route6, unique=True, max_size=2)) if v6 else []
    return Interface(
        name=f"eth{number}",
        mac=draw(_mac),
        dhcp4=draw(st.booleans()),
        dhcp6=draw(st.booleans()),
        # ifupdown cannot say "as the kernel has it" beside a gateway: its static method decides.
        accept_ra=draw(st.booleans() if gateway6 else st.none() | st.booleans()),
        addresses=tuple(v4 + v6),
        routes=tuple(routes),
        mtu=draw(st.none() | st.integers(1280, 9216)),
        dns=Dns(
            tuple(draw(st.lists(_v4 | _v6, unique=True, max_size=3))),
            tuple(draw(st.lists(_label, unique=True, max_size=2))),
        ),
    )


@st.composite
def _networks(draw):
    count = draw(st.integers(1, 3))
    return Network(interfaces=tuple(draw(_interfaces(number)) for number in range(count)))


def _read_back(model, renderer, reader):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path, text in network.render(model, renderer).items():
            target = root / path[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return reader.read(root)


def _comparable(interfaces):
    """Order of routes means nothing; the order of addresses of one family does (the first is primary)."""
    return [replace(entry, routes=tuple(sorted(entry.routes, key=str))) for entry in interfaces]


@settings(max_examples=150, deadline=None)
@given(_networks())
def test_ifupdown_reads_what_was_written(model):
    read = _read_back(model, "ifupdown", ifupdown)
    assert not read.unsupported
    assert _comparable(read.interfaces) == _comparable(model.interfaces)
    assert read.started >= {entry.name for entry in model.interfaces}


@settings(max_examples=150, deadline=None)
@given(_networks())
def test_networkd_reads_what_was_written(model):
    read = _read_back(model, "networkd", networkd)
    assert not read.unsupported
    assert _comparable(read.interfaces) == _comparable(model.interfaces)


@settings(max_examples=50, deadline=None)
@given(_networks())
def test_document_holds_the_model(model):
    assert network_from(model.to_document()) == model
