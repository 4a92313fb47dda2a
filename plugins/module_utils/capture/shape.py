# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a capture document must look like, so that nothing behind it meets a surprise.

Checked where a document is read, and before the first write of stage two: everything in it ends in a
file of the new system, many of them with lines and fields of their own.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from typing import Any

from .. import shape
from ..shape import Each, Maybe, boolean, field, line, name, path, text, whole, word

#: Ids of Linux are 32 bits; the last one means "leave it" (chown(2)).
_IDENTITY = whole(0, (1 << 32) - 2)
_MODE = whole(0, 0o7777)
#: Seconds since 1970 that file systems can hold.
_TIME = whole(-(1 << 40), 1 << 40)
#: Fields of shadow(5) behind the hash.
_AGING = ("last", "minimum", "maximum", "warn", "inactive", "expire", "reserved")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_CLIENT = re.compile(r"mac|duid|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_SETTING = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _no_more_than(pattern: re.Pattern[str], what: str) -> shape.Rule:
    def check(value: Any) -> str:
        matches = isinstance(value, str) and (value == "" or pattern.fullmatch(value) is not None)
        return "" if matches else f"must be {what} or empty"

    return check


def _base64(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii():
        return "base64 is needed"
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "base64 is needed"
    return ""


def _setting(value: Any) -> str:
    return "" if isinstance(value, str) and _SETTING.fullmatch(value) else "must be a name of a setting"


def _folder(value: Any) -> str:
    """A home folder; accounts without one have an empty field or a relative path."""
    if field(value):
        return field(value)
    return path(value) if value.startswith("/") else ""


def _file(value: Any) -> str:
    """A path of a file: never the root, whose name nothing can take."""
    return path(value) or ("" if value.strip("/") else "must name a file")


_ADDRESS = shape.accepted_by(ipaddress.ip_address, "an address")
_ANY_ADDRESS = shape.either(shape.empty, _ADDRESS)
_INTERFACE_ADDRESS = shape.accepted_by(ipaddress.ip_interface, "an address with its prefix")
_NETWORK = shape.accepted_by(ipaddress.ip_network, "a network")
#: A server may carry a port and a name for TLS (resolved.conf(5)); it is a word in any case.
_DNS = {"servers?": [word], "search?": [word]}
_ROUTE = {"to": _NETWORK, "via": _ANY_ADDRESS, "metric?": Maybe(whole(0, (1 << 32) - 1)), "on_link?": boolean,
          "source?": _ANY_ADDRESS}  # fmt: skip
_INTERFACE = {
    "name": name,
    "mac": _no_more_than(_MAC, "a MAC address in lower case"),
    "kind?": word,
    "dhcp4?": boolean,
    "dhcp6?": boolean,
    "accept_ra?": Maybe(boolean),
    "dhcp_client_id?": _no_more_than(_CLIENT, "mac, duid, hexadecimal with colons"),
    "dhcp_dns?": boolean,
    "dhcp_gateway?": boolean,
    "addresses?": [_INTERFACE_ADDRESS],
    "routes?": [_ROUTE],
    "mtu?": Maybe(whole(1, (1 << 31) - 1)),
    "cloned_mac?": _no_more_than(_MAC, "a MAC address in lower case"),
    "dns?": _DNS,
}
_RUNTIME = {"name?": name, "addresses?": [_INTERFACE_ADDRESS], "leased?": [_INTERFACE_ADDRESS], "routes?": [Each(text)]}
_FILE = {"path": _file, "mode": _MODE, "content_b64": _base64}
_OWNED = {**_FILE, "user?": field, "uid": _IDENTITY, "gid": _IDENTITY}
_USER = {
    "name": name,
    "uid": _IDENTITY,
    "gid": _IDENTITY,
    "gecos?": field,
    "home": _folder,
    "shell": field,
    "hash?": field,
    "aging?": [field],
    "has_password?": boolean,
    "home_mode?": Maybe(_MODE),
}
_EXTRA = {
    "path": _file,
    "type": shape.one_of("file", "folder", "link"),
    "mode": _MODE,
    "uid": _IDENTITY,
    "gid": _IDENTITY,
    "owner?": field,
    "group?": field,
    "mtime": _TIME,
    "xattrs?": Each(_base64),
    "content_b64?": _base64,
    "target?": text,
}
_SSH = {
    "root_login?": word,
    "password_authentication?": word,
    "public_key_authentication?": word,
    "ports?": [whole(1, 65535)],
    "listen?": [word],
    "allow_users?": [word],
    "allow_groups?": [word],
    "deny_users?": [word],
    "deny_groups?": [word],
    "authorized_keys_files?": [word],
    "host_keys?": [_FILE],
}
SHAPE: dict[str, Any] = {
    "version": whole(1, 1),
    "hostname": word,
    "hosts?": [{"address": word, "names": [word]}],
    "machine_id?": word,
    "timezone?": word,
    "rtc_local?": boolean,
    "locale?": Each(line, _setting),
    "keyboard?": Each(line, _setting),
    "console_arguments?": [word],
    "network": {
        "interfaces?": [_INTERFACE],
        "dns?": {**_DNS, "resolv_conf?": line, "options?": [word], "from_dhcp?": boolean},
        "unsupported?": [{"what": text, "file": text, "line?": whole(0, 1 << 31)}],
        "source?": line,
        "runtime?": Each(_RUNTIME),
    },
    "accounts": {
        "users": [_USER],
        "groups?": [{"name": name, "gid": _IDENTITY, "members?": [name]}],
        "sudoers?": [_FILE],
        "authorized_keys?": [_OWNED],
    },
    "ssh": _SSH,
    "extra_paths?": [_EXTRA],
    "findings?": [Each(text)],
}


def problems(document: Any) -> list[str]:
    """Return every problem of a capture document with its path; no value of it is quoted."""
    found = shape.problems(SHAPE, document)
    if found:
        return found
    zone = document.get("timezone") or ""
    if zone.startswith("/") or ".." in zone.split("/"):
        found.append(".timezone: must be a name below /usr/share/zoneinfo")
    for index, user in enumerate(document["accounts"]["users"]):
        if len(user.get("aging", _AGING)) != len(_AGING):
            found.append(
                f".accounts.users[{index}].aging: must be the {len(_AGING)} fields of shadow(5) behind the hash"
            )
    content = {"file": "content_b64", "link": "target"}
    for index, entry in enumerate(document.get("extra_paths") or ()):
        needed = content.get(entry["type"])
        if needed and not entry.get(needed) and needed not in entry:
            found.append(f".extra_paths[{index}].{needed}: is missing")
        if entry["type"] == "link" and not entry.get("target"):
            found.append(f".extra_paths[{index}].target: must not be empty")
    return found
