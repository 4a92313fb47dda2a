# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The capture without its secrets: the only form of it that leaves the host.

What may stay is listed, not what has to go: a new field is hidden until somebody decides otherwise.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = (
    "version",
    "hostname",
    "hosts",
    "machine_id",
    "timezone",
    "rtc_local",
    "locale",
    "keyboard",
    "console_arguments",
    "network",
    "findings",
)
_USER = ("name", "uid", "gid", "gecos", "home", "home_mode", "shell", "has_password")
_FILE = ("path", "user", "uid", "gid", "mode")
_ENTRY = ("path", "type", "mode", "uid", "gid", "owner", "group", "target")
_SSH = (
    "root_login",
    "password_authentication",
    "public_key_authentication",
    "ports",
    "listen",
    "allow_users",
    "allow_groups",
    "deny_users",
    "deny_groups",
    "authorized_keys_files",
    "has_match_blocks",
    "not_carried",
)


def redact(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with hashes, private keys and the content of files left out.

    Public host keys and authorized keys are named by their SHA-256 fingerprint, as ``ssh-keygen -l``
    shows it; of other files only the size is kept. Redacting twice changes nothing.
    """
    accounts = document.get("accounts") or {}
    ssh = document.get("ssh") or {}
    return {
        **_only(document, _PLAIN),
        "accounts": {
            "users": [_only(user, _USER) for user in accounts.get("users", ())],
            "groups": [dict(group) for group in accounts.get("groups", ())],
            "sudoers": [_file(entry) for entry in accounts.get("sudoers", ())],
            "authorized_keys": [_keys(entry) for entry in accounts.get("authorized_keys", ())],
        },
        "ssh": {
            **_only(ssh, _SSH),
            "host_keys": [_host_key(entry) for entry in ssh.get("host_keys", ())],
        },
        "extra_paths": [{**_only(entry, _ENTRY), **_size(entry)} for entry in document.get("extra_paths", ())],
        "redacted": True,
    }


def fingerprints(text: str) -> list[str]:
    """Return ``SHA256:…`` of every public key in a text of ``authorized_keys`` or ``.pub`` form."""
    found = []
    for line in text.splitlines():
        for word in line.split():
            # The blob of every key begins with the length and the name of its type.
            if word.startswith("AAAA"):
                try:
                    digest = hashlib.sha256(base64.b64decode(word, validate=True)).digest()
                except ValueError:
                    continue
                found.append("SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("="))
                break
    return found


def _only(document: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: document[key] for key in keys if key in document}


def _size(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "content_b64" in entry:
        return {"size": len(base64.b64decode(entry["content_b64"]))}
    return _only(entry, ("size",))


def _file(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**_only(entry, _FILE), **_size(entry)}


def _keys(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "content_b64" not in entry:
        return {**_file(entry), "fingerprints": list(entry.get("fingerprints", ()))}
    text = base64.b64decode(entry["content_b64"]).decode("utf-8", "replace")
    return {**_file(entry), "fingerprints": fingerprints(text)}


def _host_key(entry: Mapping[str, Any]) -> dict[str, Any]:
    return _keys(entry) if str(entry.get("path", "")).endswith(".pub") else _file(entry)
