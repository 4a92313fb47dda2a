# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading the accounts that are carried over: users, groups, sudoers, authorized keys.

Carried over are root, every ordinary user, and every other account that somebody can log in with:
one that has a password hash or an authorized key.
"""

from __future__ import annotations

import base64
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .tree import inside, names, read_text

#: Where ordinary users begin, and the account that owns nothing (``login.defs(5)``).
FIRST_USER = 1000
NOBODY = 65534
SUDOERS = "/etc/sudoers"
SUDOERS_FOLDER = "/etc/sudoers.d"
DEFAULT_KEY_FILES = (".ssh/authorized_keys", ".ssh/authorized_keys2")
#: A hash of ``crypt(5)``: with a prefix, or the thirteen letters of DES.
_HASH = re.compile(r"(\$[^:]+|_[./0-9A-Za-z]{19}|[./0-9A-Za-z]{13})")


@dataclass(frozen=True)
class User:
    """A line of ``passwd(5)`` with its line of ``shadow(5)``; ``aging`` are the fields after the hash."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str
    hash: str = field(repr=False, default="*")
    aging: tuple[str, ...] = ("", "", "", "", "", "", "")

    @property
    def has_password(self) -> bool:
        return bool(_HASH.fullmatch(self.hash))


def read_users(root: Path) -> dict[str, User]:
    """Return every account of ``/etc/passwd``; a hash may be in ``passwd`` itself on old systems."""
    shadow = {}
    for line in read_text(root, "/etc/shadow").splitlines():
        fields = line.split(":")
        if len(fields) >= 2:
            shadow[fields[0]] = fields[1:]
    users = {}
    for line in read_text(root, "/etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) < 7 or not fields[2].isdigit() or not fields[3].isdigit():
            continue
        secret, *aging = shadow.get(fields[0], [fields[1] if fields[1] != "x" else "*"])
        users[fields[0]] = User(
            name=fields[0],
            uid=int(fields[2]),
            gid=int(fields[3]),
            gecos=fields[4],
            home=fields[5],
            shell=fields[6],
            hash=secret,
            aging=tuple((aging + [""] * 7)[:7]),
        )
    return users


def read_groups(root: Path) -> dict[str, dict[str, Any]]:
    """Return ``{name: {name, gid, members}}`` of ``/etc/group``."""
    groups = {}
    for line in read_text(root, "/etc/group").splitlines():
        fields = line.split(":")
        if len(fields) < 4 or not fields[2].isdigit():
            continue
        members = [member for member in fields[3].split(",") if member]
        groups[fields[0]] = {"name": fields[0], "gid": int(fields[2]), "members": members}
    return groups


def read(root: Path, key_files: tuple[str, ...] = DEFAULT_KEY_FILES, login_user: str = "") -> dict[str, Any]:
    """Return ``{users, groups, sudoers, authorized_keys}``, the part ``accounts`` of a capture."""
    every = read_users(root)
    keys = {name: _authorized_keys(root, user, key_files) for name, user in every.items()}
    chosen = [user for name, user in every.items() if _is_carried(user, keys[name], login_user)]
    every_group = read_groups(root)
    return {
        "users": [_document(root, user) for user in chosen],
        "groups": _groups(every_group, chosen),
        "sudoers": _sudoers(root),
        "authorized_keys": [entry for user in chosen for entry in keys[user.name]],
    }


def user_from(document: Mapping[str, Any]) -> User:
    """Return the user of an entry of ``users``; a redacted entry has no hash and stays locked."""
    return User(
        name=document["name"],
        uid=document["uid"],
        gid=document["gid"],
        gecos=document.get("gecos", ""),
        home=document["home"],
        shell=document["shell"],
        hash=document.get("hash", "*"),
        aging=tuple(document.get("aging", ("",) * 7)),
    )


def _is_carried(user: User, keys: list[dict[str, Any]], login_user: str) -> bool:
    if user.name in ("root", login_user):
        return True
    if FIRST_USER <= user.uid < NOBODY or (user.uid > NOBODY and user.uid < 1 << 32):
        return not user.name.startswith("nfsnobody")
    return user.has_password or bool(keys)


def _document(root: Path, user: User) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": user.name,
        "uid": user.uid,
        "gid": user.gid,
        "gecos": user.gecos,
        "home": user.home,
        "shell": user.shell,
        "hash": user.hash,
        "aging": list(user.aging),
        "has_password": user.has_password,
    }
    home = inside(root, user.home)
    if user.home.startswith("/") and user.home != "/" and home.is_dir():
        document["home_mode"] = stat.S_IMODE(home.stat().st_mode)
    return document


def _groups(every: dict[str, dict[str, Any]], chosen: list[User]) -> list[dict[str, Any]]:
    """Return ordinary groups, primary groups, and groups with a carried member; only such members."""
    carried = {user.name for user in chosen}
    primary = {user.gid for user in chosen}
    result = []
    for group in every.values():
        members = [member for member in group["members"] if member in carried]
        ordinary = group["gid"] >= FIRST_USER and group["gid"] != NOBODY and group["name"] != "nfsnobody"
        if ordinary or group["gid"] in primary or members:
            result.append({**group, "members": members})
    return result


def _authorized_keys(root: Path, user: User, patterns: tuple[str, ...]) -> list[dict[str, Any]]:
    found = []
    for pattern in patterns:
        path = pattern.replace("%%", "\0").replace("%h", user.home).replace("%u", user.name)
        path = path.replace("%U", str(user.uid)).replace("\0", "%")
        if path == "none":
            continue
        if not path.startswith("/"):
            path = f"{user.home.rstrip('/')}/{path}"
        if not path.startswith("/") or path.startswith(("/dev/", "/proc/")):
            continue
        file = inside(root, path)
        if file.is_file() and file.stat().st_size:
            status = file.stat()
            found.append(
                {
                    "path": path,
                    "user": user.name,
                    "uid": status.st_uid,
                    "gid": status.st_gid,
                    "mode": stat.S_IMODE(status.st_mode),
                    "content_b64": base64.b64encode(file.read_bytes()).decode("ascii"),
                }
            )
    return found


def _sudoers(root: Path) -> list[dict[str, Any]]:
    paths = [SUDOERS] + [
        f"{SUDOERS_FOLDER}/{name}"
        for name in names(root, SUDOERS_FOLDER)
        # sudo itself passes over such names (sudoers(5), "Including other files").
        if "." not in name and not name.endswith("~") and name != "README"
    ]
    found = []
    for path in paths:
        file = inside(root, path)
        if file.is_file():
            content = base64.b64encode(file.read_bytes()).decode("ascii")
            found.append({"path": path, "mode": 0o440, "content_b64": content})
    return found
