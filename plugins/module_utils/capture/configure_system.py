# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writing name, machine id, time zone, locale and keyboard into a new root."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .tree import exists, inside, names, read_bytes, read_text, settings
from .write import Writer

_LOCAL = """\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""
#: Locales that the C library has built in.
_BUILT_IN = ("c", "posix", "c.utf8")


def apply(writer: Writer, capture: Mapping[str, Any]) -> None:
    """Write every plain value that the capture has; what it lacks stays as the payload has it."""
    hostname = capture.get("hostname") or ""
    if hostname:
        writer.own_file("/etc/hostname", f"{hostname}\n")
        _hosts(writer, hostname, capture.get("hosts", ()))
    if capture.get("machine_id"):
        writer.own_file("/etc/machine-id", f"{capture['machine_id']}\n", mode=0o444)
        if inside(writer.root, "/var/lib/dbus/machine-id", follow_last=False).is_file():
            writer.link("/var/lib/dbus/machine-id", "/etc/machine-id")
    _timezone(writer, capture.get("timezone") or "")
    if capture.get("rtc_local"):
        writer.file("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n")
    _locale(writer, capture.get("locale") or {})
    _keyboard(writer, capture.get("keyboard") or {})


def _hosts(writer: Writer, hostname: str, entries: Any) -> None:
    """Add the host's own entries to the file of the new system, and one for its name."""
    lines = (read_text(writer.root, "/etc/hosts") or _LOCAL).splitlines()
    have = {(words[0], name) for words in (line.partition("#")[0].split() for line in lines) for name in words[1:]}
    wanted = list(entries)
    named = {name for entry in wanted for name in entry["names"]} | {name for _address, name in have}
    if hostname not in named:
        short = hostname.partition(".")[0]
        wanted.append({"address": "127.0.1.1", "names": list(dict.fromkeys((hostname, short)))})
    for entry in wanted:
        missing = [name for name in entry["names"] if (entry["address"], name) not in have]
        if missing:
            lines.append(" ".join([entry["address"], *entry["names"]]))
    writer.own_file("/etc/hosts", "\n".join(lines) + "\n")


def _timezone(writer: Writer, zone: str) -> None:
    if not zone:
        return
    if exists(writer.root, "/usr/share/zoneinfo") and not exists(writer.root, f"/usr/share/zoneinfo/{zone}"):
        return  # an old name that the new system does not have; UTC is better than a dead link
    writer.link("/etc/localtime", f"/usr/share/zoneinfo/{zone}")
    if exists(writer.root, "/etc/debian_version"):
        writer.file("/etc/timezone", f"{zone}\n")


def _locale(writer: Writer, values: Mapping[str, str]) -> None:
    """Write the locale where the new system has it, ``C.UTF-8`` where it does not.

    A locale that is not there makes every login warn and some programs fail.
    """
    if not values:
        return
    usable = {key: value for key, value in values.items() if key == "LANGUAGE" or _has_locale(writer, value)}
    if "LANG" in values:
        usable.setdefault("LANG", "C.UTF-8")
    if "LANG" in values and usable["LANG"] != values["LANG"]:
        usable.pop("LANGUAGE", None)
    text = "".join(f"{key}={usable[key]}\n" for key in sorted(usable))
    if exists(writer.root, "/etc/debian_version"):
        writer.file("/etc/default/locale", text)
    if exists(writer.root, "/etc/locale.conf") or not exists(writer.root, "/etc/debian_version"):
        writer.file("/etc/locale.conf", text)


def _has_locale(writer: Writer, name: str) -> bool:
    plain = _normalised(name)
    if plain in _BUILT_IN:
        return True
    if any(_normalised(entry) == plain for entry in names(writer.root, "/usr/lib/locale")):
        return True
    archive = read_bytes(writer.root, "/usr/lib/locale/locale-archive") or b""
    language, _dot, code = name.partition(".")
    stored = f"{language}.{code.lower().replace('-', '')}" if code else language
    return stored.encode() + b"\0" in archive


def _normalised(name: str) -> str:
    return name.lower().replace("-", "")


def _keyboard(writer: Writer, values: Mapping[str, str]) -> None:
    layout = values.get("XKBLAYOUT") or values.get("KEYMAP", "").partition("-")[0]
    if layout and exists(writer.root, "/etc/debian_version"):
        path = "/etc/default/keyboard"
        merged = {**settings(read_text(writer.root, path))}
        merged.setdefault("XKBMODEL", "pc105")
        merged.setdefault("BACKSPACE", "guess")
        for key in ("XKBLAYOUT", "XKBVARIANT", "XKBOPTIONS"):
            merged[key] = layout if key == "XKBLAYOUT" else values.get(key, "")
        writer.file(path, "".join(f'{key}="{value}"\n' for key, value in merged.items()))
    elif values.get("KEYMAP"):
        path = "/etc/vconsole.conf"
        merged = {**settings(read_text(writer.root, path)), "KEYMAP": values["KEYMAP"]}
        writer.file(path, "".join(f'{key}="{value}"\n' for key, value in merged.items()))
