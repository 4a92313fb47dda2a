# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text output of iproute2 before it knew ``-j`` (4.11 on CentOS 7), as the records of ``-j``.

Only what the kernel reader needs is filled in, under the same names as in the JSON output.
"""

from __future__ import annotations

import re
from typing import Any

_HEAD = re.compile(r"\d+: ([^:@\s]+)(?:@(\S+))?: <([^>]*)>(.*)")
_KINDS = frozenset(
    [
        "bond",
        "bridge",
        "vlan",
        "veth",
        "tun",
        "dummy",
        "ifb",
        "ipip",
        "sit",
        "gre",
        "gretap",
        "macvlan",
        "macvtap",
        "vxlan",
        "wireguard",
        "team",
        "vrf",
    ]
)
#: Flags of an address in text output, and what they are called in JSON.
_FLAGS = ("dynamic", "secondary", "temporary", "mngtmpaddr", "deprecated", "tentative")


def parse_addresses(text: str) -> list[dict[str, Any]]:
    """Return the records of ``ip -d addr show``."""
    records: list[dict[str, Any]] = []
    for line in text.splitlines():
        match = _HEAD.match(line)
        if match:
            records.append(_head(match))
        elif records:
            _detail(records[-1], line.split())
    return records


def _head(match: re.Match[str]) -> dict[str, Any]:
    words = match.group(4).split()
    record: dict[str, Any] = {
        "ifname": match.group(1),
        "flags": match.group(3).split(","),
        "addr_info": [],
    }
    if match.group(2):
        record["link"] = match.group(2)
    for key, name in (("mtu", "mtu"), ("state", "operstate"), ("master", "master")):
        if key in words:
            value = words[words.index(key) + 1]
            record[name] = int(value) if key == "mtu" else value
    return record


def _detail(record: dict[str, Any], words: list[str]) -> None:
    if not words:
        return
    if words[0].startswith("link/"):
        record["link_type"] = words[0].partition("/")[2]
        record["address"] = words[1] if len(words) > 1 else ""
        if "permaddr" in words:
            record["permaddr"] = words[words.index("permaddr") + 1]
    elif words[0] in ("inet", "inet6"):
        record["addr_info"].append(_address(words))
    elif words[0] in _KINDS:
        record.setdefault("linkinfo", {"info_kind": words[0]})


def _address(words: list[str]) -> dict[str, Any]:
    local, _slash, length = words[1].partition("/")
    entry: dict[str, Any] = {"family": words[0], "local": local}
    if "peer" in words:
        entry["address"], _slash, length = words[words.index("peer") + 1].partition("/")
    entry["prefixlen"] = int(length) if length else (128 if words[0] == "inet6" else 32)
    if "scope" in words:
        entry["scope"] = words[words.index("scope") + 1]
    entry.update({flag: True for flag in _FLAGS if flag in words})
    return entry


def parse_routes(text: str) -> list[dict[str, Any]]:
    """Return the records of ``ip route show``; ``words`` is the whole line for those left as they are."""
    records: list[dict[str, Any]] = []
    for line in text.splitlines():
        words = line.split()
        if not words or line[0].isspace():
            # A line of a multipath route belongs to the one before.
            if words and records:
                records[-1]["nexthops"] = True
            continue
        record: dict[str, Any] = {"flags": [word for word in words if word in ("onlink", "linkdown")]}
        kinds = ("unreachable", "blackhole", "prohibit", "throw")
        record["type"] = words.pop(0) if words[0] in kinds else "unicast"
        record["dst"] = words[0]
        for key, name in (
            ("via", "gateway"),
            ("dev", "dev"),
            ("proto", "protocol"),
            ("scope", "scope"),
            ("src", "prefsrc"),
            ("metric", "metric"),
        ):
            if key in words[:-1]:
                value = words[words.index(key) + 1]
                record[name] = int(value) if key == "metric" else value
        records.append(record)
    return records
