# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading what makes a host itself: name, machine id, time zone, locale, keyboard, console."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tree import inside, read_link, read_text, settings

#: Kernel arguments that make the console what it was; nothing else of the old command line applies.
_CONSOLE_ARGUMENTS = ("console=", "earlycon", "earlyprintk", "consoleblank=", "no_console_suspend")
#: Names that every ``/etc/hosts`` has for itself.
_STANDARD_NAMES = frozenset(
    [
        "localhost",
        "localhost.localdomain",
        "localhost4",
        "localhost4.localdomain4",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
        "ip6-localnet",
        "ip6-mcastprefix",
        "ip6-allnodes",
        "ip6-allrouters",
        "ip6-allhosts",
    ]
)
_KEYBOARD_FILES = ("/etc/default/keyboard", "/etc/vconsole.conf", "/etc/sysconfig/keyboard")
_KEYBOARD_KEYS = ("XKBMODEL", "XKBLAYOUT", "XKBVARIANT", "XKBOPTIONS", "KEYMAP", "FONT")
_LOCALE_FILES = ("/etc/locale.conf", "/etc/default/locale", "/etc/sysconfig/i18n")


def read(root: Path) -> dict[str, Any]:
    """Return the parts of a capture that are plain values."""
    return {
        "hostname": hostname(root),
        "hosts": hosts(root),
        "machine_id": machine_id(root),
        "timezone": timezone(root),
        "rtc_local": "LOCAL" in read_text(root, "/etc/adjtime").split(),
        "locale": locale(root),
        "keyboard": _first_settings(root, _KEYBOARD_FILES, _KEYBOARD_KEYS),
        "console_arguments": console_arguments(read_text(root, "/proc/cmdline")),
    }


def hostname(root: Path) -> str:
    """Return the configured host name; the kernel's where no file names one."""
    for line in read_text(root, "/etc/hostname").splitlines():
        if line.strip() and not line.startswith("#"):
            return line.strip()
    named = settings(read_text(root, "/etc/sysconfig/network")).get("HOSTNAME", "")
    return named or read_text(root, "/proc/sys/kernel/hostname").strip() or "localhost"


def hosts(root: Path) -> list[dict[str, Any]]:
    """Return ``[{address, names}]`` of ``/etc/hosts`` beyond what every host has."""
    found = []
    for line in read_text(root, "/etc/hosts").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        own = [name for name in names if name not in _STANDARD_NAMES]
        if address and own:
            found.append({"address": address, "names": own})
    return found


def machine_id(root: Path) -> str:
    text = read_text(root, "/etc/machine-id").strip() or read_text(root, "/var/lib/dbus/machine-id").strip()
    return text if len(text) == 32 else ""


def timezone(root: Path) -> str:
    """Return a name like ``Europe/Berlin``, ``""`` where the host has none but UTC by default."""
    target = read_link(root, "/etc/localtime")
    if "zoneinfo/" in target:
        return target.partition("zoneinfo/")[2]
    named = read_text(root, "/etc/timezone").strip()
    named = named or settings(read_text(root, "/etc/sysconfig/clock")).get("ZONE", "")
    if named or not inside(root, "/etc/localtime").is_file():
        return named
    return _zone_of(root)


def _zone_of(root: Path) -> str:
    """Find the zone whose file is the same as ``/etc/localtime``, where that is a copy."""
    wanted = inside(root, "/etc/localtime").read_bytes()
    zones = inside(root, "/usr/share/zoneinfo")
    if not zones.is_dir():
        return ""
    for path in sorted(zones.rglob("*")):
        name = str(path.relative_to(zones))
        # Lower case names are tables and copies of the whole (posix, right); links are aliases.
        if not name[:1].isupper() or path.is_symlink() or not path.is_file():
            continue
        if path.stat().st_size == len(wanted) and path.read_bytes() == wanted:
            return name
    return ""


def locale(root: Path) -> dict[str, str]:
    """Return ``LANG`` and ``LC_*`` of the first file that sets any."""
    for path in _LOCALE_FILES:
        found = {
            key: value
            for key, value in settings(read_text(root, path)).items()
            if key in ("LANG", "LANGUAGE") or key.startswith("LC_")
        }
        if found:
            return found
    return {}


def console_arguments(command_line: str) -> list[str]:
    return [word for word in command_line.split() if word.startswith(_CONSOLE_ARGUMENTS)]


def _first_settings(root: Path, paths: tuple[str, ...], keys: tuple[str, ...]) -> dict[str, str]:
    for path in paths:
        values = settings(read_text(root, path))
        found = {key: values[key] for key in keys if values.get(key)}
        if "KEYTABLE" in values:
            found.setdefault("KEYMAP", values["KEYTABLE"])
        if found:
            return found
    return {}
