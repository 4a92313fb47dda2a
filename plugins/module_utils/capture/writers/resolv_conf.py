# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writer of ``/etc/resolv.conf`` (``resolv.conf(5)``) for systems where no program manages it."""

from __future__ import annotations

from ..model import Network, unique

PATH = "/etc/resolv.conf"


def servers_of(network: Network) -> tuple[str, ...]:
    """Return every server of the host: those of the interfaces, then those of the whole host."""
    own = [server for interface in network.interfaces for server in interface.dns.servers]
    return unique([*own, *network.dns.servers])


def search_of(network: Network) -> tuple[str, ...]:
    own = [domain for interface in network.interfaces for domain in interface.dns.search]
    return unique([*network.dns.search, *own])


def render(network: Network) -> str:
    """Return the text of the file, ``""`` where there is nothing to say."""
    servers, search = servers_of(network), search_of(network)
    # All of them, though the C library asks only the first three (MAXNS): other programs read it too.
    lines = [f"nameserver {server}" for server in servers]
    if search:
        lines.append(f"search {' '.join(search)}")
    if network.dns.options:
        lines.append(f"options {' '.join(network.dns.options)}")
    return "".join(f"{line}\n" for line in lines)
