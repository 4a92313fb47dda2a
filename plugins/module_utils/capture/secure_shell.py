# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SSH identity and login policy of the host (``sshd_config(5)``).

The effective settings are asked of ``sshd -T``, because the defaults differ between versions
(root logins were allowed by default before OpenSSH 7.0); where it does not run, the file is read.
"""

from __future__ import annotations

import base64
import fnmatch
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..faults.fault import Fault
from ..runner import Runner
from .accounts import DEFAULT_KEY_FILES
from .tree import inside, names, read_text

CONFIG = "/etc/ssh/sshd_config"
DROP_IN_FOLDER = "/etc/ssh/sshd_config.d"
#: Sorts before every other drop-in: sshd takes the first value that it reads.
DROP_IN = f"{DROP_IN_FOLDER}/00-dualroot.conf"
_BEGIN = "# BEGIN dualroot.migrate: the login policy of the old system"
_END = "# END dualroot.migrate"
#: Single-valued settings that are carried over: keyword in the document, in the file, and default.
_SINGLE = (
    ("root_login", "PermitRootLogin", "prohibit-password"),
    ("password_authentication", "PasswordAuthentication", "yes"),
    ("public_key_authentication", "PubkeyAuthentication", "yes"),
)
_LISTS = (
    ("ports", "Port"),
    ("listen", "ListenAddress"),
    ("allow_users", "AllowUsers"),
    ("allow_groups", "AllowGroups"),
    ("deny_users", "DenyUsers"),
    ("deny_groups", "DenyGroups"),
)


#: Settings on which logins may depend, and that a new system knows nothing of, with their harmless value.
_NOT_CARRIED = (
    ("TrustedUserCAKeys", "none"),
    ("AuthorizedKeysCommand", "none"),
    ("AuthorizedPrincipalsFile", "none"),
    ("AuthenticationMethods", "any"),
    ("HostCertificate", "none"),
)


def read(root: Path, runner: Runner) -> dict[str, Any]:
    """Return the part ``ssh`` of a capture: host keys and policy."""
    values = _effective(root, runner)
    document: dict[str, Any] = {}
    for key, word, default in _SINGLE:
        document[key] = values.get(word.lower(), [default])[0].lower()
    if document["root_login"] == "without-password":
        document["root_login"] = "prohibit-password"
    for key, word in _LISTS:
        document[key] = values.get(word.lower(), [])
    document["ports"] = [int(port) for port in document["ports"] if port.isdigit()] or [22]
    document["listen"] = [entry for entry in document["listen"] if not _is_everywhere(entry)]
    document["authorized_keys_files"] = values.get("authorizedkeysfile") or list(DEFAULT_KEY_FILES)
    document["has_match_blocks"] = any(word == "match" for word, _rest in _lines(root, CONFIG))
    document["not_carried"] = [
        word for word, harmless in _NOT_CARRIED if values.get(word.lower(), [harmless])[0].lower() != harmless
    ]
    document["host_keys"] = list(_host_keys(root, values.get("hostkey", [])))
    return document


def settings_text(ssh: Mapping[str, Any], *, host_key_paths: list[str]) -> str:
    """Return the lines that give a new sshd the captured policy and identity."""
    lines = [f"HostKey {path}" for path in host_key_paths]
    lines += [f"Port {port}" for port in ssh.get("ports", [22])]
    lines += [f"ListenAddress {entry}" for entry in ssh.get("listen", ())]
    for key, word, _default in _SINGLE:
        if ssh.get(key):
            lines.append(f"{word} {ssh[key]}")
    for key, word in _LISTS[2:]:
        if ssh.get(key):
            lines.append(f"{word} {' '.join(ssh[key])}")
    files = list(ssh.get("authorized_keys_files") or DEFAULT_KEY_FILES)
    if files != list(DEFAULT_KEY_FILES):
        lines.append(f"AuthorizedKeysFile {' '.join(files)}")
    return "".join(f"{line}\n" for line in lines)


def private_keys(ssh: Mapping[str, Any]) -> list[str]:
    """Return the paths of private host keys that a current sshd can use (DSA is gone)."""
    paths = [entry["path"] for entry in ssh.get("host_keys", ())]
    return [path for path in paths if not path.endswith((".pub", "-cert.pub", "ssh_host_dsa_key"))]


def includes_drop_ins(root: Path) -> bool:
    """Tell whether sshd of the system under ``root`` reads ``sshd_config.d``."""
    return any(
        word == "include" and DROP_IN_FOLDER in rest for word, rest in _parsed(read_text(root, CONFIG).splitlines())
    )


def with_block(text: str, block: str) -> str:
    """Return ``sshd_config`` with our block at its head, where values win over later ones."""
    kept, inside_block = [], False
    for line in text.splitlines():
        inside_block = inside_block or line == _BEGIN
        if not inside_block:
            kept.append(line)
        inside_block = inside_block and line != _END
    return "\n".join([_BEGIN, *block.splitlines(), _END, *kept]) + "\n"


def _effective(root: Path, runner: Runner) -> dict[str, list[str]]:
    """Return ``{keyword in lower case: values}`` of the global part."""
    if root == Path("/"):
        # Older versions want a connection as soon as there are Match blocks; nobody matches none of
        # them. Both fail without sshd or without /run/sshd; then the file is read.
        for extra in ((), ("-C", "user=nobody,host=localhost,addr=127.0.0.1")):
            try:
                shown = runner.run(("sshd", "-T", *extra), accept=range(256))
            except Fault:
                break
            if shown.returncode == 0:
                return _collected(_parsed(shown.text.splitlines()))
    return _collected(_lines(root, CONFIG))


def _collected(lines: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, rest in lines:
        if word == "match":
            break
        if word == "authorizedkeysfile" and word in found:
            continue  # only the first line of a single setting counts
        found.setdefault(word, []).extend(rest.split())
    return found


def _lines(root: Path, path: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield the settings of a file and of those that it includes."""
    for word, rest in _parsed(read_text(root, path).splitlines()):
        if word != "include" or depth > 8:
            yield word, rest
            continue
        for pattern in rest.split():
            full = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
            folder, _slash, name = full.rpartition("/")
            for found in names(root, folder):
                if fnmatch.fnmatchcase(found, name):
                    yield from _lines(root, f"{folder}/{found}", depth + 1)


def _parsed(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            word, *rest = re.split(r"[ \t=]+", text, maxsplit=1)
            yield word.lower(), "".join(rest).strip().strip('"')


def _host_keys(root: Path, configured: list[str]) -> Iterator[dict[str, Any]]:
    default = [
        f"/etc/ssh/{name}" for name in names(root, "/etc/ssh") if name.startswith("ssh_host_") and name.endswith("_key")
    ]
    for private in configured or default:
        for path in (private, f"{private}.pub", f"{private}-cert.pub"):
            file = inside(root, path)
            if file.is_file():
                yield {
                    "path": path,
                    "mode": stat.S_IMODE(file.stat().st_mode) & 0o644 if path.endswith(".pub") else 0o600,
                    "content_b64": base64.b64encode(file.read_bytes()).decode("ascii"),
                }


def _is_everywhere(entry: str) -> bool:
    host = entry.rpartition(":")[0] if entry.count(":") == 1 or entry.startswith("[") else entry
    return host.strip("[]") in ("0.0.0.0", "::", "*", "")
