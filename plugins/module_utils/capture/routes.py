# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Routes as command lines and output write them: ``ip route``, old ``route``, ``route-eth0`` files."""

from __future__ import annotations

from collections.abc import Sequence

from .model import Route, plain_address, route_target, version_of

#: Words of ``ip route`` that take an argument and say nothing that has to be carried over.
_WITH_ARGUMENT = frozenset({"proto", "scope", "pref", "dev", "error", "hoplimit", "linkdown"})
_ALONE = frozenset({"onlink", "linkdown", "dead", "unicast", "pervasive"})
#: The main table by its names (``/etc/iproute2/rt_tables``).
_MAIN_TABLE = ("main", "254")


def from_ip_words(words: Sequence[str], *, version: int = 4) -> Route:
    """Read the words after ``ip route add``, or one line of the output of ``ip route``.

    Raises ``ValueError`` with the reason for anything that a ``Route`` cannot hold.
    """
    left = [word for word in words if word != "unicast"]
    if left and left[0] == "to":
        left.pop(0)
    if not left:
        raise ValueError("a route without a target")
    target, found = left.pop(0), {"via": "", "metric": "", "src": ""}
    on_link = False
    while left:
        word = left.pop(0)
        if word in _ALONE:
            on_link = on_link or word == "onlink"
            continue
        if not left:
            raise ValueError(f"route option {word} without a value")
        value = left.pop(0)
        if word == "via" and value in ("inet", "inet6") and left:
            raise ValueError("a next hop of the other address family")
        if word in found:
            found[word] = value
        elif word == "table" and value in _MAIN_TABLE:
            continue
        elif word not in _WITH_ARGUMENT:
            raise ValueError(f"route option {word} {value}")
    return make(target, found["via"], found["metric"], on_link, found["src"], version)


def make(
    target: str, via: str = "", metric: str = "", on_link: bool = False, source: str = "", version: int = 4
) -> Route:
    """Make a canonical route of texts; raises ``ValueError`` where one is no address or number."""
    next_hop = plain_address(via) if via else ""
    family = version_of(next_hop) if next_hop else version
    return Route(
        to=route_target(target, version=family),
        via=next_hop,
        metric=int(metric) if metric else None,
        on_link=on_link,
        source=plain_address(source) if source else "",
    )


def from_route_words(words: Sequence[str]) -> Route:
    """Read the words after ``route add`` of net-tools (``route(8)``); raises ``ValueError``."""
    left = list(words)
    target, mask, via, metric, version = "", "", "", "", 4
    while left:
        word = left.pop(0)
        if word in ("-A", "--inet6", "-6"):
            version = 6
            if word == "-A" and left:
                left.pop(0)
        elif word == "-host":
            mask = "32"
        elif word == "-net":
            continue
        elif word in ("netmask", "gw", "metric", "dev"):
            value = left.pop(0) if left else ""
            mask = value if word == "netmask" else mask
            via = value if word == "gw" else via
            metric = value if word == "metric" else metric
        elif not target:
            target = word
        else:
            raise ValueError(f"route option {word}")
    if not target:
        raise ValueError("a route without a target")
    full = target if target == "default" else route_target(target, mask, version=version)
    return make(full, via, metric, version=version)
