# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Logins for stage two and recovery: the same host keys, users, keys and passwords as before.

sshd of the convert environment runs without PAM and knows two accounts: root, as far as the old
host let root log in, and the login user of the run as another name of uid 0, with its own hash and
its own keys, so that the controller needs no sudo there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault
from ..runner import Runner
from .accounts import User, user_from
from .model import network_from
from .secure_shell import private_keys
from .tree import exists, inside, read_text
from .write import Writer
from .writers import resolv_conf

_SHELL = "/bin/sh"
_CONFIG = "/etc/ssh/sshd_config"
#: The alias has uid 0, so sshd applies PermitRootLogin to it as well; root's own policy follows
#: from AllowUsers and the Match block.
_HEAD = """\
# Written by dualroot.migrate: the identity and the login policy of the host being migrated.
"""
_TAIL = """\
PermitRootLogin yes
PermitEmptyPasswords no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
X11Forwarding no
AllowTcpForwarding no
AllowAgentForwarding no
Subsystem sftp internal-sftp
"""


def prepare(
    capture: Mapping[str, Any],
    login_user: str,
    root: Path = Path("/"),
    runner: Runner | None = None,
) -> list[str]:
    """Write accounts, keys, sshd's configuration, host name and resolver; returns changed paths.

    ``Fault`` ``capture.account_unknown`` where the capture has no such login. ``runner`` is not
    needed: nothing is run.
    """
    writer = Writer(root)
    users = {entry["name"]: user_from(entry) for entry in capture["accounts"]["users"]}
    login = users.get(login_user)
    if login is None:
        raise Fault(kinds.ACCOUNT_UNKNOWN, name=login_user)
    ssh = capture["ssh"]
    allowed = {login.name: login}
    if "root" in users and ssh.get("root_login", "prohibit-password") != "no":
        allowed["root"] = users["root"]
    # root's password is for the console in any case; what sshd lets in is said by AllowUsers.
    _passwd(writer, {"root": users["root"], **allowed} if "root" in users else allowed)
    for user in allowed.values():
        _keys(writer, capture["accounts"], user)
    for entry in ssh.get("host_keys", ()):
        mode = 0o644 if entry["path"].endswith(".pub") else 0o600
        writer.own_file(_host_key_path(entry["path"]), base64.b64decode(entry["content_b64"]), mode=mode)
    writer.file(_CONFIG, _sshd_config(ssh, list(allowed)), mode=0o600)
    _name_and_resolver(writer, capture)
    return writer.written


def _passwd(writer: Writer, accounts: Mapping[str, User]) -> None:
    """Replace the lines of our accounts, root first: the first name of an id is what programs show."""
    rows = _without(read_text(writer.root, "/etc/passwd"), accounts)
    secrets = _without(read_text(writer.root, "/etc/shadow"), accounts)
    ordered = sorted(accounts.values(), key=lambda user: user.name != "root")
    added = [f"{user.name}:x:0:0:{user.name}:{_home(user)}:{_SHELL}" for user in ordered]
    hashes = [f"{user.name}:{_secret(user)}:19000:0:99999:7:::" for user in ordered]
    writer.file("/etc/passwd", "\n".join(added + rows) + "\n")
    writer.file("/etc/shadow", "\n".join(hashes + secrets) + "\n", mode=0o600)


def _without(text: str, names: Mapping[str, User]) -> list[str]:
    return [line for line in text.splitlines() if line and line.partition(":")[0] not in names]


def _secret(user: User) -> str:
    # Without PAM sshd refuses an account with "!" even with a key; "*" only has no password
    # (sshd(8), "Login process"). An empty hash would be an open door.
    return user.hash if user.has_password else "*"


def _home(user: User) -> str:
    return "/root" if user.name == "root" else f"/root/{user.name}"


def _keys(writer: Writer, accounts: Mapping[str, Any], user: User) -> None:
    contents = [
        base64.b64decode(entry["content_b64"])
        for entry in accounts.get("authorized_keys", ())
        if entry.get("user") == user.name
    ]
    writer.folder(_home(user), mode=0o700)
    writer.folder(f"{_home(user)}/.ssh", mode=0o700)
    text = b"\n".join(content.rstrip(b"\n") for content in contents)
    writer.own_file(f"{_home(user)}/.ssh/authorized_keys", text + b"\n" if text else b"", mode=0o600)


def _host_key_path(path: str) -> str:
    return f"/etc/ssh/{path.rpartition('/')[2]}"


def _sshd_config(ssh: Mapping[str, Any], allowed: list[str]) -> str:
    lines = [f"HostKey {_host_key_path(path)}" for path in private_keys(ssh)]
    lines += [f"Port {port}" for port in ssh.get("ports") or [22]]
    lines.append(f"PasswordAuthentication {ssh.get('password_authentication', 'yes')}")
    lines.append("AuthorizedKeysFile .ssh/authorized_keys")
    lines.append(f"AllowUsers {' '.join(allowed)}")
    tail = ""
    if "root" in allowed and ssh.get("root_login") in ("prohibit-password", "forced-commands-only"):
        tail = "Match User root\n    PasswordAuthentication no\n"
    return _HEAD + "".join(f"{line}\n" for line in lines) + _TAIL + tail


def _name_and_resolver(writer: Writer, capture: Mapping[str, Any]) -> None:
    hostname = capture.get("hostname") or ""
    if hostname:
        writer.own_file("/etc/hostname", f"{hostname}\n")
        running = inside(writer.root, "/proc/sys/kernel/hostname")
        if exists(writer.root, "/proc/sys/kernel/hostname"):
            running.write_text(hostname)
    model = network_from(capture["network"])
    if not model.dns.from_dhcp:
        writer.own_file(resolv_conf.PATH, resolv_conf.render(model))
