# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The document: what is read of whole hosts, and what of it may be seen."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import document
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.accounts import read_users
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.accounts_merge import merge
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.compare import compare
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.redact import fingerprints, redact
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

CANARY = "CANARY"
HOSTS = ("debian11-static", "debian11-dhcp", "centos7-two-nics", "ubuntu2204-netplan")


def read(host, name, **options):
    made = host(name)
    return document.read(made.root, made.runner, options)


def text_of(entry):
    return base64.b64decode(entry["content_b64"]).decode()


def test_debian(host):
    found = read(host, "debian11-static", extra_paths=["/opt/gateway"])
    assert found["hostname"] == "gw01"
    assert found["hosts"] == [
        {"address": "127.0.1.1", "names": ["gw01.gateway.example", "gw01"]},
        {"address": "192.0.2.20", "names": ["backup"]},
    ]
    assert found["machine_id"] == "0123456789abcdef0123456789abcdef"
    assert found["timezone"] == "Europe/Berlin"
    assert found["rtc_local"] is False
    assert found["locale"] == {"LANG": "de_DE.UTF-8"}
    assert found["keyboard"] == {"XKBMODEL": "pc105", "XKBLAYOUT": "de", "XKBVARIANT": "nodeadkeys"}
    assert found["console_arguments"] == ["console=tty0", "console=ttyS0,115200n8"]
    assert found["ssh"]["root_login"] == "no"
    assert found["ssh"]["ports"] == [22, 2222]
    assert found["ssh"]["allow_users"] == ["admin", "deploy"]
    assert found["findings"] == []
    assert [(entry["path"], entry["type"]) for entry in found["extra_paths"]] == [
        ("/opt/gateway", "folder"),
        ("/opt/gateway/current.rule", "link"),
        ("/opt/gateway/gateway.conf", "file"),
        ("/opt/gateway/rules.d", "folder"),
        ("/opt/gateway/rules.d/10.rule", "file"),
    ]


def test_accounts(host):
    accounts = read(host, "debian11-static")["accounts"]
    users = {user["name"]: user for user in accounts["users"]}
    assert list(users) == ["root", "admin", "deploy", "operator"]
    assert users["admin"]["hash"] == "$6$salt$CANARYadminhash"
    assert users["deploy"]["hash"] == "!$6$salt$CANARYlockedhash"
    assert users["deploy"]["aging"] == ["18600", "0", "90", "7", "30", "20000", ""]
    assert [users[name]["has_password"] for name in users] == [True, True, False, True]
    groups = {group["name"]: group["members"] for group in accounts["groups"]}
    assert groups == {
        "root": [],
        "sudo": ["admin"],
        "docker": ["admin", "deploy"],
        "operator": [],
        "admin": [],
        "deploy": [],
        "gateway": ["admin"],
    }
    assert [entry["path"] for entry in accounts["sudoers"]] == ["/etc/sudoers", "/etc/sudoers.d/admin"]
    assert [(entry["user"], entry["path"]) for entry in accounts["authorized_keys"]] == [
        ("root", "/root/.ssh/authorized_keys"),
        ("admin", "/home/admin/.ssh/authorized_keys"),
    ]


def test_centos(host):
    found = read(host, "centos7-two-nics")
    assert found["hostname"] == "db01.corp.example"
    assert found["timezone"] == "America/New_York"
    assert found["keyboard"] == {"KEYMAP": "us", "FONT": "latarcyrheb-sun16"}
    assert [user["name"] for user in found["accounts"]["users"]] == ["root", "ops"]
    assert {"name": "wheel", "gid": 10, "members": ["ops"]} in found["accounts"]["groups"]
    assert "capture.sshd_match" in [finding["id"] for finding in found["findings"]]
    assert found["ssh"]["password_authentication"] == "yes"
    assert [text_of(entry) for entry in found["ssh"]["host_keys"]] == [
        "-----BEGIN RSA PRIVATE KEY-----\nCANARYcentoskey\n-----END RSA PRIVATE KEY-----\n"
    ]


def test_a_login_of_the_system_is_carried_over_when_it_is_the_runs_own(host):
    found = read(host, "debian11-static", login_user="backup")
    assert "backup" in [user["name"] for user in found["accounts"]["users"]]


def test_localtime_as_a_copy(host, tmp_path):
    made = host("debian11-dhcp")
    zones = made.root / "usr/share/zoneinfo"
    (zones / "Europe").mkdir(parents=True)
    (zones / "posix").write_bytes(b"TZif2 of Berlin")
    (zones / "Europe/Berlin").write_bytes(b"TZif2 of Berlin")
    (made.root / "etc/localtime").write_bytes(b"TZif2 of Berlin")
    assert document.read(made.root, made.runner)["timezone"] == "Europe/Berlin"


@pytest.mark.parametrize("name", HOSTS)
def test_no_secret_in_what_may_be_seen(host, name):
    found = read(host, name, extra_paths=["/opt/gateway"] if "static" in name else [])
    whole = document.dump(found) + "".join(
        text_of(entry) for entry in [*found["ssh"]["host_keys"], *found["extra_paths"]] if "content_b64" in entry
    )
    assert (CANARY in whole) == (name != "ubuntu2204-netplan")
    seen = json.dumps(redact(found))
    assert CANARY not in seen
    assert "content_b64" not in seen and "PRIVATE" not in seen
    assert base64.b64encode(b"-----BEGIN")[:12].decode() not in seen
    assert redact(redact(found)) == redact(found)


def test_no_secret_in_representations(host):
    made = host("debian11-static")
    assert CANARY not in repr(read_users(made.root))
    accounts = document.read(made.root, made.runner)["accounts"]
    assert CANARY not in repr(merge(accounts, "", "", ""))


def test_no_secret_in_faults(tmp_path):
    path = tmp_path / "capture.json"
    path.write_text('{"hash": "$6$CANARY')
    with pytest.raises(Fault) as fault:
        document.load(path)
    assert fault.value.id == "capture.document_invalid"
    assert CANARY not in str(fault.value.record()) and CANARY not in repr(fault.value.__cause__)
    assert fault.value.__suppress_context__


def test_what_may_be_seen_names_keys_by_fingerprint(host):
    seen = redact(read(host, "debian11-static"))
    key = seen["accounts"]["authorized_keys"][1]
    assert [entry[:7] for entry in key["fingerprints"]] == ["SHA256:"]
    assert seen["accounts"]["users"][1]["has_password"] is True
    assert "hash" not in seen["accounts"]["users"][1]
    public = next(entry for entry in seen["ssh"]["host_keys"] if entry["path"].endswith("ed25519_key.pub"))
    assert public["fingerprints"][0].startswith("SHA256:")


def test_fingerprint_is_that_of_ssh_keygen():
    # ssh-keygen -lf of this key prints the same.
    line = "no-pty ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@x"
    assert fingerprints(line) == ["SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"]


def test_document_survives_a_file(host, tmp_path):
    found = read(host, "debian11-static")
    path = tmp_path / "capture.json"
    path.write_text(document.dump(found))
    assert document.load(path) == found
    path.write_text('{"version": 2}')
    with pytest.raises(Fault, match="version"):
        document.load(path)


def test_extra_paths_are_judged_all_at_once(host):
    made = host("debian11-static")
    found = document.read(
        made.root,
        made.runner,
        {"extra_paths": ["/nowhere", "/etc/shadow", "relative", "/opt/../etc", "/boot/grub", "/opt/gateway"]},
    )
    refused = [(one["id"], one["severity"]) for one in found["findings"]]
    assert refused == [("capture.path_missing", "refuse")] + [("capture.path_refused", "refuse")] * 4
    assert len(found["extra_paths"]) == 5


def test_extra_paths_have_a_limit(host):
    found = read(host, "debian11-static", extra_paths=["/opt/gateway"], extra_paths_limit=1600)
    (finding,) = found["findings"]
    assert finding["id"] == "capture.paths_too_large"
    assert "1.6 KiB" in finding["what"]


def test_the_same_host_has_no_differences(host):
    found = read(host, "debian11-static")
    assert compare(found, found) == []
    assert compare(redact(found), found) == []


def test_differences_hold_no_secret(host):
    wanted = read(host, "debian11-static")
    found = json.loads(document.dump(wanted))
    found["hostname"] = "other"
    found["accounts"]["users"][1]["hash"] = "$6$CANARYother"
    del found["accounts"]["users"][2]
    found["accounts"]["authorized_keys"] = []
    found["ssh"]["host_keys"] = found["ssh"]["host_keys"][:1]
    found["network"]["interfaces"][0]["addresses"].pop()
    found["network"]["interfaces"][0]["routes"].pop()
    found["network"]["runtime"]["52:54:00:12:34:56"]["addresses"].pop(0)
    found["network"]["interfaces"][0]["dns"]["servers"] = []
    found["network"]["dns"]["servers"] = ["192.0.2.99"]
    differences = compare(wanted, found)
    mac = "network.interfaces[52:54:00:12:34:56]"
    assert [entry["path"] for entry in differences] == [
        "hostname",
        f"{mac}.addresses",
        f"{mac}.routes",
        f"{mac}.runtime.addresses",
        "network.dns.servers",
        "accounts.users[admin].hash",
        "accounts.users[deploy]",
        "accounts.authorized_keys[/root/.ssh/authorized_keys]",
        "accounts.authorized_keys[/home/admin/.ssh/authorized_keys]",
        "ssh.host_keys[/etc/ssh/ssh_host_ed25519_key.pub]",
        "ssh.host_keys[/etc/ssh/ssh_host_rsa_key.pub]",
    ]
    assert CANARY not in json.dumps(differences)


@pytest.mark.parametrize(
    ("before", "differs"), [(["198.51.100.7/24"], True), ([], False), (["fd00::7/64"], False), (None, True)]
)
def test_only_what_had_a_lease_must_have_one(host, before, differs):
    """A second card may be set to DHCP and have no cable, before as after."""
    wanted = read(host, "debian11-static")
    mac = "52:54:00:12:34:57"
    second = {
        **wanted["network"]["interfaces"][0],
        "name": "ens4",
        "mac": mac,
        "dhcp4": True,
        "addresses": [],
        "routes": [],
    }
    wanted["network"]["interfaces"].append(second)
    found = json.loads(document.dump(wanted))
    if before is not None:
        wanted["network"]["runtime"][mac] = {"name": "ens4", "addresses": [], "leased": before, "routes": []}
    found["network"]["runtime"][mac] = {"name": "ens4", "addresses": [], "leased": [], "routes": []}
    expected = [f"network.interfaces[{mac}].runtime.leased"] if differs else []
    assert [entry["path"] for entry in compare(wanted, found)] == expected


def test_a_missing_interface_is_a_difference(host):
    wanted = read(host, "debian11-static")
    found = json.loads(document.dump(wanted))
    found["network"]["interfaces"] = []
    paths = [entry["path"] for entry in compare(wanted, found)]
    assert paths[0] == "network.interfaces[52:54:00:12:34:56]"
