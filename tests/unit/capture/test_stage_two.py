# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logins of stage two and the network there."""

from __future__ import annotations

import stat

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import document
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.model import Interface, Network, Route
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.network_up import bring_up
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.stage_two import prepare
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import Answers, FakeRunner, failed


@pytest.fixture
def initrd(tmp_path):
    root = tmp_path / "initrd"
    (root / "etc/ssh").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n")
    return root


@pytest.fixture
def capture(host):
    gateway = host("debian11-static")
    return document.read(gateway.root, gateway.runner)


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


def test_login_user_is_a_name_of_uid_0(initrd, capture):
    prepare(capture, "admin", initrd)
    assert (initrd / "etc/passwd").read_text() == (
        "root:x:0:0:root:/root:/bin/sh\nadmin:x:0:0:admin:/root/admin:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n"
    )
    assert (initrd / "etc/shadow").read_text() == (
        "root:$6$rounds=5000$salt$CANARYroothash:19000:0:99999:7:::\n"
        "admin:$6$salt$CANARYadminhash:19000:0:99999:7:::\nsshd:!:19000::::::\n"
    )
    assert mode(initrd / "etc/shadow") == 0o600
    keys = initrd / "root/admin/.ssh/authorized_keys"
    assert keys.read_text().endswith("admin@laptop\n")
    assert [mode(path) for path in (keys, keys.parent, keys.parent.parent)] == [0o600, 0o700, 0o700]


def test_sshd_config(initrd, capture):
    prepare(capture, "admin", initrd)
    text = (initrd / "etc/ssh/sshd_config").read_text()
    for line in (
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "Port 22",
        "Port 2222",
        "PasswordAuthentication yes",
        "AllowUsers admin",
        "UsePAM no",
    ):
        assert f"\n{line}\n" in text
    assert mode(initrd / "etc/ssh/ssh_host_ed25519_key") == 0o600
    assert (initrd / "etc/hostname").read_text() == "gw01\n"
    assert "nameserver 192.0.2.53" in (initrd / "etc/resolv.conf").read_text()


def test_root_as_the_old_host_let_it_in(initrd, capture):
    capture["ssh"]["root_login"] = "prohibit-password"
    prepare(capture, "admin", initrd)
    text = (initrd / "etc/ssh/sshd_config").read_text()
    assert "AllowUsers admin root\n" in text
    assert text.endswith("Match User root\n    PasswordAuthentication no\n")
    assert (initrd / "etc/passwd").read_text().startswith("root:x:0:0:root:/root:/bin/sh\nadmin:x:0:0:")
    assert (initrd / "root/.ssh/authorized_keys").read_text().startswith("no-pty ssh-ed25519 ")


def test_locked_password_still_takes_keys(initrd, capture):
    prepare(capture, "deploy", initrd)
    # "!" would make sshd without PAM refuse keys as well.
    assert "\ndeploy:*:19000:" in (initrd / "etc/shadow").read_text()


def test_twice_is_once(initrd, capture):
    assert prepare(capture, "admin", initrd)
    before = {path: path.read_bytes() for path in initrd.rglob("*") if path.is_file()}
    prepare(capture, "admin", initrd)
    assert {path: path.read_bytes() for path in initrd.rglob("*") if path.is_file()} == before


def test_unknown_login(initrd, capture):
    with pytest.raises(Fault) as fault:
        prepare(capture, "ldapuser", initrd)
    assert fault.value.id == "capture.account_unknown"


LINKS = ("ip", "-j", "-d", "addr", "show")


def link(name, mac, *flags):
    return {"ifname": name, "flags": list(flags), "mtu": 1500, "link_type": "ether", "address": mac}


def up(answers, model, root, **more):
    runner = FakeRunner(answers, handler=lambda _argv, _stdin: None)
    naps = []
    faults = bring_up(model, runner, root=root, sleep=naps.append, **more)
    return runner, naps, faults


STATIC = Interface(
    name="eth0",
    mac="52:54:00:00:00:01",
    mtu=1400,
    accept_ra=False,
    addresses=("192.0.2.10/24", "2001:db8::10/64"),
    routes=(
        Route("0.0.0.0/0", "192.0.2.1", 100),
        Route("10.0.0.0/8", "192.0.2.254"),
        Route("192.0.2.254/32"),
    ),
)


def test_static(tmp_path):
    setting = tmp_path / "proc/sys/net/ipv6/conf/enp1s0/accept_ra"
    setting.parent.mkdir(parents=True)
    setting.write_text("1")
    down = [link("enp2s0", "52:54:00:00:00:02"), link("enp1s0", STATIC.mac)]
    ready = [link("enp1s0", STATIC.mac, "UP", "LOWER_UP")]
    runner, naps, faults = up({LINKS: Answers([[], down, down, ready])}, Network((STATIC,)), tmp_path)
    assert faults == []
    assert naps == [1, 1]
    assert setting.read_text() == "0"
    assert [argv for argv in runner.calls if argv != LINKS] == [
        ("ip", "link", "set", "dev", "lo", "up"),
        ("ip", "link", "set", "dev", "enp1s0", "mtu", "1400"),
        ("ip", "link", "set", "dev", "enp1s0", "up"),
        ("ip", "addr", "replace", "192.0.2.10/24", "brd", "+", "dev", "enp1s0"),
        ("ip", "addr", "replace", "2001:db8::10/64", "nodad", "dev", "enp1s0"),
        ("ip", "-4", "route", "replace", "192.0.2.254/32", "dev", "enp1s0"),
        ("ip", "-4", "route", "replace", "10.0.0.0/8", "via", "192.0.2.254", "dev", "enp1s0"),
        ("ip", "-4", "route", "replace", "0.0.0.0/0", "via", "192.0.2.1", "dev", "enp1s0", "metric", "100"),
    ]


DHCP = Interface(name="eth0", mac="52:54:00:00:00:01", dhcp4=True)
UDHCPC = (
    "busybox", "udhcpc", "-i", "eth0", "-s", "/usr/lib/dualroot/udhcpc.script", "-p", "/run/udhcpc.eth0.pid",
    "-n", "-t", "15", "-T", "3", "-C",
)  # fmt: skip
READY = {LINKS: [link("eth0", DHCP.mac, "UP", "LOWER_UP")]}


def test_dhcp_asks_for_the_address_it_had(tmp_path):
    network = Network((DHCP,)).to_document()
    network["runtime"] = {DHCP.mac: {"leased": ["fd00::1/64", "10.0.2.15/24"]}}
    runner, _naps, _faults = up(READY, network, tmp_path)
    assert runner.calls[-1] == (*UDHCPC, "-r", "10.0.2.15")


def test_dhcp_without_an_answer(tmp_path):
    with pytest.raises(Fault) as fault:
        up({**READY, UDHCPC: failed(1)}, Network((DHCP,)), tmp_path)
    assert fault.value.id == "capture.lease_missing"


def test_dhcp_client_that_runs_is_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "proc/77").mkdir(parents=True)
    (tmp_path / "run/udhcpc.eth0.pid").write_text("77\n")
    runner, _naps, _faults = up(READY, Network((DHCP,)), tmp_path)
    assert not [argv for argv in runner.calls if argv[0] == "busybox"]


def test_missing_interface_is_a_fault_after_all_else_was_tried(tmp_path):
    model = Network((DHCP, STATIC.__class__(name="eth9", mac="52:54:00:00:00:09", dhcp4=True)))
    with pytest.raises(Fault) as fault:
        up(READY, model, tmp_path)
    assert fault.value.id == "capture.interface_missing"
    runner, _naps, faults = up(READY, model, tmp_path, strict=False)
    assert [entry.id for entry in faults] == ["capture.interface_missing"]
    assert UDHCPC in runner.calls
