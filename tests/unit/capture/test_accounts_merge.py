# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Merging accounts: names, ids, hashes, groups."""

from __future__ import annotations

from ansible_collections.dualroot.migrate.plugins.module_utils.capture.accounts_merge import conflicts, merge

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
backup:x:34:34:backup:/var/backups:/usr/sbin/nologin
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
debian:x:1000:1000:Debian:/home/debian:/bin/bash
"""
SHADOW = "root:*:1::::::\ndaemon:*:1::::::\nbackup:*:1::::::\nsshd:!:1::::::\ndebian:!:1::::::\n"
GROUP = "root:x:0:\ndaemon:x:1:\nuucp:x:10:\nsudo:x:27:debian\nbackup:x:34:\ndebian:x:1000:\n"
GSHADOW = "root:*::\nsudo:*::debian\n"
SHELLS = "/bin/bash\n/bin/sh\n"


def user(name, uid, gid=None, **more):
    return {
        "name": name,
        "uid": uid,
        "gid": uid if gid is None else gid,
        "gecos": "",
        "home": f"/home/{name}",
        "shell": "/bin/bash",
        "hash": f"$6$salt${name}",
        "aging": ["18000", "0", "99999", "7", "", "", ""],
        **more,
    }


def group(name, gid, *members):
    return {"name": name, "gid": gid, "members": list(members)}


def merged(users=(), groups=()):
    return merge({"users": users, "groups": groups}, PASSWD, SHADOW, GROUP, GSHADOW, SHELLS)


def row(text, name):
    return next((line for line in text.splitlines() if line.startswith(f"{name}:")), None)


def test_new_user_keeps_ids_hash_and_aging():
    result = merged([user("admin", 1005)], [group("admin", 1005)])
    assert row(result.passwd, "admin") == "admin:x:1005:1005::/home/admin:/bin/bash"
    assert row(result.shadow, "admin") == "admin:$6$salt$admin:18000:0:99999:7:::"
    assert row(result.group, "admin") == "admin:x:1005:"
    assert row(result.gshadow, "admin") == "admin:!::"
    assert result.findings == [] and result.moved == []


def test_locked_stays_locked():
    result = merged([user("admin", 1005, hash="!$6$salt$x"), user("root", 0, hash="!", home="/root")])
    assert row(result.shadow, "admin").startswith("admin:!$6$salt$x:")
    assert row(result.shadow, "root").startswith("root:!:")


def test_account_of_the_payload_makes_room():
    result = merged([user("admin", 1000)], [group("admin", 1000)])
    assert row(result.passwd, "admin").startswith("admin:x:1000:1000:")
    assert row(result.passwd, "debian").startswith("debian:x:1001:1001:")
    assert row(result.group, "debian") == "debian:x:1001:"
    assert result.moved == [("/home/debian", 1000, 1001)]
    assert [entry["id"] for entry in result.findings] == ["capture.id_conflict"] * 2


def test_same_name_other_id_becomes_that_of_the_host():
    result = merged([user("debian", 1200)], [group("debian", 1200)])
    assert row(result.passwd, "debian").startswith("debian:x:1200:1200:")
    assert row(result.group, "debian") == "debian:x:1200:"
    assert result.moved == [("/home/debian", 1000, 1200)]


def test_system_account_keeps_the_id_of_the_new_system():
    result = merged([user("backup", 999, 999)], [group("backup", 999)])
    assert row(result.passwd, "backup").startswith("backup:x:34:34:")
    assert row(result.shadow, "backup").startswith("backup:$6$salt$backup:")
    assert row(result.group, "backup") == "backup:x:34:"


def test_system_account_that_is_new_gets_a_free_id():
    result = merged([user("svc", 100, 1005)], [group("svc", 1005)])
    assert row(result.passwd, "svc").startswith("svc:x:999:1005:")
    assert row(result.passwd, "sshd").startswith("sshd:x:100:")


def test_group_of_another_family_keeps_its_name():
    result = merged([user("ops", 1005)], [group("ops", 1005), group("wheel", 10, "ops")])
    assert row(result.group, "wheel") == "wheel:x:999:ops"
    assert row(result.group, "uucp") == "uucp:x:10:"


def test_members_are_added():
    result = merged([user("admin", 1005)], [group("sudo", 27, "admin")])
    assert row(result.group, "sudo") == "sudo:x:27:debian,admin"
    assert row(result.gshadow, "sudo") == "sudo:*::debian,admin"


def test_shell_that_is_not_there():
    assert row(merged([user("admin", 1005, shell="/bin/zsh")]).passwd, "admin").endswith(":/bin/bash")


def test_second_name_of_uid_0():
    result = merged([user("toor", 0, home="/root")])
    assert row(result.passwd, "toor").startswith("toor:x:0:0:")
    assert row(result.passwd, "root").startswith("root:x:0:0:")


def test_twice_is_once():
    accounts = {
        "users": [user("admin", 1000), user("backup", 999), user("debian", 1300), user("svc", 1, 1)],
        "groups": [group("admin", 1000), group("debian", 1300), group("wheel", 10, "admin"), group("x", 1)],
    }
    first = merge(accounts, PASSWD, SHADOW, GROUP, GSHADOW, SHELLS)
    second = merge(accounts, first.passwd, first.shadow, first.group, first.gshadow, SHELLS)
    for name in ("passwd", "shadow", "group", "gshadow"):
        assert getattr(first, name) == getattr(second, name)
    assert second.moved == []


def test_conflicts_can_be_asked_for_before():
    (found, *_more) = conflicts({"users": [user("admin", 1000)], "groups": []}, PASSWD, GROUP)
    assert found["severity"] == "warn"
    assert "debian" in found["what"]
