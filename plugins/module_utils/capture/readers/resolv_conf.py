# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reader of ``/etc/resolv.conf`` (``resolv.conf(5)``)."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from ..model import GlobalDns, plain_address, unique
from ..tree import read_link, read_text

PATH = "/etc/resolv.conf"
#: What systemd-resolved asks itself, where ``resolv.conf`` names only its stub.
RESOLVED_UPSTREAM = "/run/systemd/resolve/resolv.conf"
_RESOLVED_STUBS = ("127.0.0.53", "127.0.0.54")


def read(root: Path) -> GlobalDns:
    """Return servers, search domains and options, and how the file lies on the disk."""
    link = read_link(root, PATH)
    text = read_text(root, PATH)
    dns = parse(text)
    if any(server in _RESOLVED_STUBS for server in dns.servers):
        upstream = parse(read_text(root, RESOLVED_UPSTREAM))
        dns = GlobalDns(upstream.servers, upstream.search or dns.search, options=dns.options)
    kind = f"link:{link}" if link else "file" if text else "none"
    return GlobalDns(dns.servers, dns.search, resolv_conf=kind, options=dns.options)


def parse(text: str) -> GlobalDns:
    """Parse a file; the last of ``search`` and ``domain`` holds, addresses that are none are left out."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            try:
                servers.append(plain_address(words[1].partition("%")[0]))
            except ValueError:
                continue
        elif words[0] in ("search", "domain"):
            search = tuple(word for word in words[1:] if word != ".")
        elif words[0] == "options":
            options.extend(words[1:])
    return GlobalDns(unique(servers), search, options=unique(options))


def local_servers(dns: GlobalDns) -> list[str]:
    """Return the servers that are on the host itself, and not systemd-resolved's stub."""
    return [
        server for server in dns.servers if ipaddress.ip_address(server).is_loopback and server not in _RESOLVED_STUBS
    ]
