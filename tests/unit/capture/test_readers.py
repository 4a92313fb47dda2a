# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Readers: what the files and commands of real hosts mean."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import network
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.model import (
    Dns,
    GlobalDns,
    Interface,
    Route,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.readers import ifupdown, resolv_conf

from tests.support.fake_runner import FakeRunner


def ids(read):
    return [finding["id"] for finding in read.findings]


def test_debian_static(host):
    gateway = host("debian11-static")
    read = network.read(gateway.root, gateway.runner)
    assert read.findings == ()
    assert read.network.unsupported == ()
    assert read.network.interfaces == (
        Interface(
            name="ens3",
            mac="52:54:00:12:34:56",
            accept_ra=False,
            addresses=("2001:db8:1::10/64", "192.0.2.10/24", "192.0.2.11/24"),
            routes=(
                Route("::/0", "2001:db8:1::1"),
                Route("0.0.0.0/0", "192.0.2.1"),
                Route("10.20.0.0/16", "192.0.2.254"),
                Route("10.30.0.0/16", "192.0.2.254"),
            ),
        ),
    )
    assert read.network.dns == GlobalDns(
        ("192.0.2.53", "198.51.100.53"),
        ("gateway.example", "example.com"),
        resolv_conf="file",
        options=("timeout:2", "attempts:3"),
    )
    assert gateway.runner.calls == [
        ("ip", "-j", "-d", "addr", "show"),
        ("ip", "-j", "-4", "route", "show", "table", "main"),
        ("ip", "-j", "-6", "route", "show", "table", "main"),
    ]


def test_name_servers_of_interfaces_count_with_resolvconf(host):
    gateway = host("debian11-static")
    (gateway.root / "sbin").mkdir()
    (gateway.root / "sbin/resolvconf").write_text("")
    read = network.read(gateway.root, gateway.runner)
    assert read.network.interfaces[0].dns == Dns(("192.0.2.53", "198.51.100.53"), ("gateway.example", "example.com"))


def test_debian_dhcp(host):
    cloud = host("debian11-dhcp")
    read = network.read(cloud.root, cloud.runner)
    assert read.network.interfaces == (Interface(name="ens3", mac="52:54:00:12:34:56", dhcp4=True, accept_ra=True),)
    assert read.network.dns.from_dhcp
    assert ids(read) == ["capture.dhcp_lease", "capture.virtual_interface"]
    assert "10.0.2.15/24" in read.findings[0]["what"]
    assert read.runtime["52:54:00:12:34:56"]["leased"] == ["10.0.2.15/24", "fec0::5054:ff:fe12:3456/64"]


def test_centos7_without_json(host):
    database = host("centos7-two-nics")
    read = network.read(database.root, database.runner)
    first, second = read.network.interfaces
    assert first == Interface(
        name="eth0",
        mac="52:54:00:aa:00:01",
        accept_ra=False,
        addresses=("198.51.100.20/24", "198.51.100.21/24", "2001:db8:2::20/64"),
        routes=(
            Route("0.0.0.0/0", "198.51.100.1"),
            Route("::/0", "2001:db8:2::1"),
            Route("172.16.0.0/12", "198.51.100.2"),
            Route("2001:db8:99::/48", "2001:db8:2::2"),
        ),
        dns=Dns(("198.51.100.53", "198.51.100.54"), ("corp.example", "example.com")),
    )
    assert second == Interface(
        name="eth1",
        mac="52:54:00:aa:00:02",
        addresses=("10.9.0.20/24",),
        routes=(Route("10.10.0.0/16", "10.9.0.1"), Route("10.11.0.0/16", "10.9.0.1", 50)),
        mtu=9000,
        dhcp_dns=False,
        dhcp_gateway=False,
    )
    assert ids(read) == ["capture.runtime_address", "capture.virtual_interface"]
    assert "198.51.100.99/24" in read.findings[0]["what"]
    assert ("ethtool", "-P", "eth1") in database.runner.calls


def test_netplan_is_inferred_from_the_kernel(host):
    server = host("ubuntu2204-netplan")
    read = network.read(server.root, server.runner)
    assert read.network.interfaces == (
        Interface(
            name="ens3",
            mac="52:54:00:00:00:06",
            cloned_mac="52:54:00:00:00:05",
            addresses=("203.0.113.5/24",),
            routes=(Route("0.0.0.0/0", "203.0.113.1"),),
        ),
    )
    assert read.network.dns.servers == ("203.0.113.53",)
    assert read.network.dns.resolv_conf == "link:../run/systemd/resolve/stub-resolv.conf"
    assert ids(read) == ["capture.network_inferred"]
    assert "netplan" in read.findings[0]["what"]


def test_what_cannot_be_carried_over_is_named_with_file_and_line(host):
    old = host("debian11-unsupported")
    read = network.read(old.root, old.runner)
    problems = [str(entry) for entry in read.network.unsupported]
    file = "/etc/network/interfaces"
    assert problems == [
        f"bond-slaves ens3 ens4 ({file}:8)",
        f"bond-mode 802.3ad ({file}:9)",
        f"VLAN bond0.5 ({file}:11)",
        f"bridge_ports ens5 ({file}:15)",
        f"up /usr/local/sbin/setup-firewall ({file}:20)",
        f"up ip rule add from 192.0.6.10 table 6 ({file}:21)",
        f"up ip route add default via 192.0.6.1 table 6: route option table 6 ({file}:22)",
        f"pre-up iptables-restore < /etc/iptables.rules ({file}:23)",
        f"iface tun0 inet6 6to4 ({file}:25)",
    ]
    refusal = next(entry for entry in read.findings if entry["id"] == "capture.network_unsupported")
    assert refusal["severity"] == "refuse"
    assert all(problem in refusal["what"] for problem in problems)


def _interfaces(tmp_path, text):
    folder = tmp_path / "etc/network"
    folder.mkdir(parents=True)
    (folder / "interfaces").write_text(text)
    return ifupdown.read(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("up ip route add 10.0.0.0/8 via 192.0.2.1", Route("10.0.0.0/8", "192.0.2.1")),
        ("up /sbin/ip r add 10.0.0.0/8 via 192.0.2.1 metric 5 || true", Route("10.0.0.0/8", "192.0.2.1", 5)),
        ("post-up ip route replace 10.1.2.3 dev eth0", Route("10.1.2.3/32")),
        ("up ip route add default via 192.0.2.1 onlink", Route("0.0.0.0/0", "192.0.2.1", on_link=True)),
        ("up ip -6 route add default via fe80::1 dev eth0", Route("::/0", "fe80::1")),
        ("up route add -host 10.1.2.3 gw 192.0.2.1", Route("10.1.2.3/32", "192.0.2.1")),
        ("up route add default gw 192.0.2.1 eth0", None),
        ("up ip route add 10.0.0.0/8 via 192.0.2.1 table 100", None),
        ("up ip route add 10.0.0.0/8 via $GATEWAY", None),
        ("up ip route add 10.0.0.0/8 via 192.0.2.1; reboot", None),
        ("up ip route add 10.0.0.0/8 via 192.0.2.1 && touch /x", None),
    ],
)
def test_up_lines(tmp_path, line, expected):
    read = _interfaces(tmp_path, f"auto eth0\niface eth0 inet static\n  address 192.0.2.9/24\n  {line}\n")
    routes = read.interfaces[0].routes
    if expected is None:
        assert not routes and len(read.unsupported) == 1
        assert read.unsupported[0].line == 4
    else:
        assert routes == (expected,)
        assert not read.unsupported


def test_continued_lines_sources_and_mappings(tmp_path):
    text = (
        "source /etc/network/more.d/*.conf\n"
        "mapping eth*\n  script /usr/local/sbin/map\n  map HOME eth0-home\n"
        "auto eth0\niface eth0 inet static\n  address \\\n  192.0.2.9\n  netmask 255.255.255.0\n"
    )
    more = tmp_path / "etc/network/more.d"
    more.mkdir(parents=True)
    (more / "a.conf").write_text("iface eth1 inet manual\n  mtu 9000\n")
    (more / "b.txt").write_text("iface eth2 inet dhcp\n")
    (tmp_path / "etc/network/interfaces").write_text(text)
    read = ifupdown.read(tmp_path)
    assert [entry.name for entry in read.interfaces] == ["eth1", "eth0"]
    assert read.interfaces[0].mtu == 9000
    assert read.interfaces[1].addresses == ("192.0.2.9/24",)
    assert [str(entry) for entry in read.unsupported] == ["mapping eth* (/etc/network/interfaces:2)"]


def test_only_loopback_is_nothing(tmp_path):
    assert _interfaces(tmp_path, "auto lo\niface lo inet loopback\n") is None


def test_a_source_of_itself_ends(tmp_path):
    assert _interfaces(tmp_path, "source /etc/network/interfaces\n") is None


def test_resolv_conf_last_search_holds():
    dns = resolv_conf.parse("; comment\ndomain a\nsearch b c\nnameserver 192.0.2.1\nnameserver nonsense\n")
    assert (dns.servers, dns.search) == (("192.0.2.1",), ("b", "c"))


def test_own_resolver_is_reported(host):
    gateway = host("debian11-static")
    (gateway.root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    read = network.read(gateway.root, gateway.runner)
    assert ids(read) == ["capture.local_resolver"]


def test_interface_that_is_gone(host):
    gateway = host("debian11-static")
    path = gateway.root / "etc/network/interfaces"
    path.write_text(path.read_text() + "auto ens9\niface ens9 inet dhcp\n")
    read = network.read(gateway.root, gateway.runner)
    assert ids(read) == ["capture.interface_absent"]
    assert [entry.name for entry in read.network.interfaces] == ["ens3"]


def test_an_ip_that_knows_json_for_addresses_only(host):
    gateway = host("debian11-static")
    answers = gateway.runner.answers
    answers["ip", "-j", "-4", "route", "show", "table", "main"] = (
        "default via 192.0.2.1 dev ens3 onlink \n10.20.0.0/16 via 192.0.2.254 dev ens3 \n"
        "10.30.0.0/16 via 192.0.2.254 dev ens3 \n192.0.2.0/24 dev ens3 proto kernel scope link \n"
    )
    assert network.read(gateway.root, FakeRunner(answers)).findings == ()


def _with_dhclient(host, text):
    cloud = host("debian11-dhcp")
    (cloud.root / "etc/dhcp").mkdir()
    (cloud.root / "etc/dhcp/dhclient.conf").write_text(text)
    return network.read(cloud.root, cloud.runner)


@pytest.mark.parametrize(
    ("line", "identifier"),
    [
        ("send host-name = gethostname();\n#send dhcp-client-identifier 00:11;", ""),
        ("send dhcp-client-identifier = hardware;", "mac"),
        ("send dhcp-client-identifier 00:AA:bb;", "00:aa:bb"),
        ('send dhcp-client-identifier "gw";', "67:77"),
    ],
)
def test_client_identifier_of_dhclient(host, line, identifier):
    read = _with_dhclient(host, line)
    assert read.network.interfaces[0].dhcp_client_id == identifier
    assert not read.network.unsupported


def test_changed_leases_cannot_be_carried_over(host):
    read = _with_dhclient(host, "#prepend domain-name-servers 127.0.0.1;\nsupersede domain-name-servers 1.1.1.1;\n")
    assert [str(entry) for entry in read.network.unsupported] == [
        "supersede domain-name-servers 1.1.1.1; (/etc/dhcp/dhclient.conf:2)"
    ]


def test_part_of_another_interface_with_the_same_address(host):
    gateway = host("debian11-static")
    answers = dict(gateway.runner.answers)
    argv = ("ip", "-j", "-d", "addr", "show")
    links = json.loads(answers[argv])
    twin = {**links[1], "ifname": "enP1p0s2", "master": "ens3", "addr_info": []}
    answers[argv] = [*links, twin]
    read = network.read(gateway.root, FakeRunner(answers))
    assert read.findings == ()
    assert [entry.name for entry in read.network.interfaces] == ["ens3"]
    assert read.runtime["52:54:00:12:34:56"]["name"] == "ens3"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("wpa-psk CANARY psk", "wpa-psk (hidden)"),
        ("wireless-key s:CANARY", "wireless-key (hidden)"),
        ("up iwconfig eth0 key s:CANARY", "up iwconfig eth0 key (hidden)"),
        ("post-up vpn --password=CANARY --user me", "post-up vpn --password=(hidden)"),
        ("up curl http://me:CANARY@198.51.100.1/up", "up curl http://me:(hidden)@198.51.100.1/up"),
        ("up ip rule add from 192.0.2.1 lookup 7", "up ip rule add from 192.0.2.1 lookup 7"),
        ("keyboard pc105", "keyboard pc105"),
    ],
)
def test_a_credential_in_a_line_that_is_not_carried_is_hidden(tmp_path, line, shown):
    folder = tmp_path / "etc/network"
    folder.mkdir(parents=True)
    (folder / "interfaces").write_text(
        f"iface eth0 inet static\n    address 192.0.2.10/24\n    {line}\n", encoding="utf-8"
    )
    read = ifupdown.read(tmp_path)
    assert [entry.what for entry in read.unsupported] == [shown]
