# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``dhclient.conf(5)`` changes of DHCP: the client identifier, and what cannot be carried over."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ..model import Interface, Unsupported, mac_address
from ..tree import read_text
from .configured import Configured

_FILES = ("/etc/dhcp/dhclient-{name}.conf", "/etc/dhcp/dhclient.conf", "/etc/dhclient.conf")
_IDENTIFIER = re.compile(r"send\s+dhcp-client-identifier\s*=?\s*(.+?)\s*;")
_CHANGES = re.compile(r"\s*((?:supersede|prepend|append|alias|lease|reject)\s.*)")


def complete(root: Path, configured: Configured) -> Configured:
    """Return the configuration with what the files say of those of its interfaces that use DHCP."""
    interfaces = []
    unsupported = list(configured.unsupported)
    for interface in configured.interfaces:
        paths = [path.format(name=interface.name) for path in _FILES]
        path = next((entry for entry in paths if read_text(root, entry)), "")
        if interface.dhcp4 and path:
            interface = _read(read_text(root, path), path, interface, unsupported)
        interfaces.append(interface)
    return replace(configured, interfaces=tuple(interfaces), unsupported=tuple(dict.fromkeys(unsupported)))


def _read(text: str, path: str, interface: Interface, unsupported: list[Unsupported]) -> Interface:
    lines = [line.partition("#")[0] for line in text.splitlines()]
    for number, line in enumerate(lines, 1):
        match = _CHANGES.match(line)
        if match:
            unsupported.append(Unsupported(match.group(1).strip(), path, number))
    found = _IDENTIFIER.search("\n".join(lines))
    if found is None or interface.dhcp_client_id:
        return interface
    return replace(interface, dhcp_client_id=_identifier(found.group(1), interface))


def _identifier(text: str, interface: Interface) -> str:
    if text == "hardware":
        return "mac"
    raw = text.strip('"').encode().hex(":") if text.startswith('"') else text.lower()
    own = mac_address(interface.mac)
    return "mac" if own and raw == f"01:{own}" else raw
