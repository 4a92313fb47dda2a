# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing the capture into a new root: content, modes, and that twice is once."""

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import configure, document
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.compare import compare
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.redact import redact
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.write import Writer

from tests.support.fake_runner import FakeRunner, failed

SSHD_CONFIG = "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n"


@pytest.fixture
def new(tmp_path):
    """A root as a Debian 13 image has it, as far as it matters here."""
    root = tmp_path / "new"
    files = {
        "etc/debian_version": "13.1\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\n",
        "etc/shadow": "root:*:1::::::\ndebian:!:1::::::\n",
        "etc/group": "root:x:0:\nshadow:x:42:\nsudo:x:27:debian\ndebian:x:1000:\n",
        "etc/gshadow": "root:*::\nshadow:*::\nsudo:*::debian\ndebian:!::\n",
        "etc/hosts": "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n",
        "etc/locale.conf": "LANG=C.UTF-8\n",
        "etc/machine-id": "",
        "etc/skel/.profile": "# profile\n",
        "etc/ssh/sshd_config": SSHD_CONFIG,
        "etc/ssh/ssh_host_ecdsa_key": "of the image",
        "etc/ssh/ssh_host_ecdsa_key.pub": "of the image",
        "etc/network/interfaces": "auto lo\niface lo inet loopback\nauto ens3\niface ens3 inet dhcp\n",
        "usr/share/zoneinfo/Europe/Berlin": "TZif",
        "usr/lib/systemd/system/systemd-networkd.service": "",
        "usr/lib/systemd/system/systemd-networkd.socket": "",
        "usr/lib/locale/de_DE.utf8/LC_TIME": "",
        "usr/bin/bash": "",
        "usr/bin/sh": "",
        "usr/sbin/visudo": "",
        "home/debian/.bashrc": "",
    }
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    (root / "etc/default").mkdir()
    (root / "etc/default/locale").symlink_to("../locale.conf")
    for name in ("bin", "sbin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "var/lib/dbus").mkdir(parents=True)
    (root / "var/lib/dbus/machine-id").write_text("of the image\n")
    return root


def visudo(root, path, answer=None):
    return {("chroot", str(root), "/usr/sbin/visudo", "-c", "-q", "-f", path): answer}


@pytest.fixture
def runner(new):
    return FakeRunner(
        {
            **visudo(new, "/etc/sudoers.dualroot-refused"),
            **visudo(new, "/etc/sudoers.d/admin.dualroot-refused"),
        }
    )


@pytest.fixture
def capture(host):
    gateway = host("debian11-static")
    return document.read(gateway.root, gateway.runner, {"extra_paths": ["/opt/gateway"]})


def tree(root):
    """Return everything that can be seen of a tree."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (
            stat.S_IFMT(status.st_mode),
            stat.S_IMODE(status.st_mode),
            content,
        )
    return found


def mode(path):
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("renderer", ["networkd", "ifupdown"])
def test_twice_is_once(new, capture, runner, renderer):
    first = configure.apply(new, capture, renderer=renderer, runner=runner)
    before = tree(new)
    second = configure.apply(new, capture, renderer=renderer, runner=runner)
    assert tree(new) == before
    if os.geteuid() == 0:
        assert second == []
    assert "/etc/shadow" in first
    assert not [path for path in before if ".dualroot" in path]


def test_identity(new, capture, runner):
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert (new / "etc/hostname").read_text() == "gw01\n"
    assert (new / "etc/hosts").read_text() == (
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n127.0.1.1 gw01.gateway.example gw01\n192.0.2.20 backup\n"
    )
    assert (new / "etc/machine-id").read_text() == "0123456789abcdef0123456789abcdef\n"
    assert os.readlink(new / "var/lib/dbus/machine-id") == "/etc/machine-id"
    assert os.readlink(new / "etc/localtime") == "/usr/share/zoneinfo/Europe/Berlin"
    assert (new / "etc/locale.conf").read_text() == "LANG=de_DE.UTF-8\n"
    assert os.readlink(new / "etc/default/locale") == "../locale.conf"
    assert 'XKBLAYOUT="de"' in (new / "etc/default/keyboard").read_text()


def test_locale_that_is_not_there(new, capture, runner):
    capture["locale"] = {"LANG": "fr_FR.UTF-8", "LANGUAGE": "fr", "LC_TIME": "C"}
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert (new / "etc/locale.conf").read_text() == "LANG=C.UTF-8\nLC_TIME=C\n"


def test_accounts_and_homes(new, capture, runner):
    os.chown(new / "home/debian/.bashrc", 1000, 1000)
    configure.apply(new, capture, renderer="networkd", runner=runner)
    passwd = (new / "etc/passwd").read_text()
    assert "admin:x:1000:1000:Admin of the gateway,,,:/home/admin:/bin/bash\n" in passwd
    assert "debian:x:1002:1002:" in passwd
    assert "admin:$6$salt$CANARYadminhash:18500:0:99999:7:::\n" in (new / "etc/shadow").read_text()
    assert mode(new / "etc/shadow") == 0o640
    assert mode(new / "etc/passwd") == 0o644
    assert (new / "home/admin/.profile").exists()
    keys = new / "home/admin/.ssh/authorized_keys"
    assert keys.read_text().startswith("ssh-ed25519 ")
    assert mode(keys) & 0o022 == 0
    assert mode(keys.parent) == 0o700
    if os.geteuid() == 0:
        assert (new / "home/debian/.bashrc").stat().st_uid == 1002


def test_ssh(new, capture, runner):
    configure.apply(new, capture, renderer="networkd", runner=runner)
    key = new / "etc/ssh/ssh_host_ed25519_key"
    assert "CANARYed25519privatekey" in key.read_text()
    assert mode(key) == 0o600
    assert mode(new / "etc/ssh/ssh_host_ed25519_key.pub") == 0o644
    assert not (new / "etc/ssh/ssh_host_ecdsa_key").exists()
    assert (new / "etc/ssh/sshd_config").read_text() == SSHD_CONFIG
    assert (new / "etc/ssh/sshd_config.d/00-dualroot.conf").read_text().splitlines()[1:] == [
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "HostKey /etc/ssh/ssh_host_rsa_key",
        "Port 22",
        "Port 2222",
        "PermitRootLogin no",
        "PasswordAuthentication yes",
        "PubkeyAuthentication yes",
        "AllowUsers admin deploy",
    ]


def test_sshd_that_includes_nothing(new, capture, runner):
    (new / "etc/ssh/sshd_config").write_text("UsePAM yes\n")
    for _time in range(2):
        configure.apply(new, capture, renderer="networkd", runner=runner)
    text = (new / "etc/ssh/sshd_config").read_text()
    assert text.startswith("# BEGIN dualroot.migrate")
    assert text.endswith("# END dualroot.migrate\nUsePAM yes\n")
    assert text.count("PermitRootLogin no") == 1


def test_sudoers(new, capture, runner):
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert "%sudo" in (new / "etc/sudoers").read_text()
    assert mode(new / "etc/sudoers.d/admin") == 0o440


def test_sudoers_that_visudo_refuses_stay_aside(new, capture):
    runner = FakeRunner(
        {
            **visudo(new, "/etc/sudoers.dualroot-refused"),
            **visudo(new, "/etc/sudoers.d/admin.dualroot-refused", failed(1, "syntax error")),
        }
    )
    written = configure.apply(new, capture, renderer="networkd", runner=runner)
    assert not (new / "etc/sudoers.d/admin").exists()
    assert mode(new / "etc/sudoers.d/admin.dualroot-refused") == 0o440
    assert "/etc/sudoers.d/admin.dualroot-refused" in written


def test_network_by_networkd(new, capture, runner):
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert "Address=192.0.2.10/24" in (new / "etc/systemd/network/10-dualroot-ens3.network").read_text()
    wants = new / "etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    assert os.readlink(wants) == "/usr/lib/systemd/system/systemd-networkd.service"
    assert "ens3" not in (new / "etc/network/interfaces").read_text()
    # No resolver in this root: a file.
    assert "nameserver 192.0.2.53\n" in (new / "etc/resolv.conf").read_text()


def test_resolved_is_left_its_link(new, capture, runner):
    (new / "usr/lib/systemd/system/systemd-resolved.service").write_text("")
    folder = new / "etc/systemd/system/sysinit.target.wants"
    folder.mkdir(parents=True)
    (folder / "systemd-resolved.service").symlink_to("/usr/lib/systemd/system/systemd-resolved.service")
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert os.readlink(new / "etc/resolv.conf") == "../run/systemd/resolve/stub-resolv.conf"
    configure.apply(new, capture, renderer="ifupdown", runner=runner)
    assert not (new / "etc/resolv.conf").is_symlink()


def test_network_by_ifupdown(new, capture, runner):
    configure.apply(new, capture, renderer="ifupdown", runner=runner)
    assert "auto mac/52:54:00:12:34:56=ens3\n" in (new / "etc/network/interfaces").read_text()


def test_cloud_init_keeps_its_hands_off(new, capture, runner):
    (new / "etc/cloud").mkdir()
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert "network: {config: disabled}" in (new / "etc/cloud/cloud.cfg.d/99-dualroot.cfg").read_text()


def test_extra_paths(new, capture, runner):
    configure.apply(new, capture, renderer="networkd", runner=runner)
    assert (new / "opt/gateway/gateway.conf").read_text() == "secret = CANARYextrafile\n"
    assert os.readlink(new / "opt/gateway/current.rule") == "rules.d/10.rule"


def test_an_absolute_link_in_the_new_root_stays_inside(new, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (new / "var/log").symlink_to(outside)
    Writer(new).file("/var/log/x", "y")
    assert list(outside.iterdir()) == []
    assert (new / str(outside)[1:] / "x").read_text() == "y"


def test_never_readable_by_others_for_a_moment(new, monkeypatch):
    seen = []
    real = os.open

    def spy(path, flags, mode=0o777, **more):
        seen.append((flags & os.O_EXCL != 0, mode))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", spy)
    Writer(new).file("/etc/secret", "CANARY", mode=0o640)
    assert seen == [(True, 0o600)]
    assert mode(new / "etc/secret") == 0o640


def test_a_failed_write_leaves_nothing(new, monkeypatch):
    def fail(*_arguments):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        Writer(new).file("/etc/hostname", "x\n")
    assert [entry.name for entry in (new / "etc").iterdir() if "hostname" in entry.name] == []


@pytest.mark.parametrize("renderer", ["networkd", "ifupdown"])
@pytest.mark.parametrize("name", ["debian11-static", "debian11-dhcp", "ubuntu2204-netplan"])
def test_nothing_differs_afterwards(host, new, name, renderer):
    old = host(name)
    wanted = document.read(old.root, old.runner, {"login_user": "admin"})
    configure.apply(new, wanted, renderer=renderer, runner=FakeRunner(handler=lambda _argv, _stdin: None))
    found = document.read(new, old.runner, {"login_user": "admin"})
    assert compare(wanted, found) == []
    assert compare(redact(wanted), found) == []
