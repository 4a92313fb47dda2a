# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reader of ifupdown: ``/etc/network/interfaces`` and what it sources (``interfaces(5)``)."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..model import (
    DEFAULT_V4,
    DEFAULT_V6,
    Dns,
    Interface,
    Route,
    Unsupported,
    interface_address,
    mac_address,
    plain_address,
    unique,
)
from ..routes import from_ip_words, from_route_words
from .configured import Configured
from .interfaces_file import MAIN_FILE, Stanza, parse

_IGNORED = frozenset(
    [
        "broadcast",
        "network",
        "hostname",
        "leasehours",
        "leasetime",
        "vendor",
        "scope",
        "preferred-lifetime",
        "dad-attempts",
        "dad-interval",
        "nud",
        "unmanaged",
        "autoconf",
        "privext",
        "ll-attempts",
        "ll-interval",
        "description",
        "dhcp",
        "media",
    ]
)
_COMMANDS = frozenset({"up", "post-up", "pre-up"})
_COMMANDS_DOWN = frozenset({"down", "pre-down", "post-down"})
#: A router advertisement setting, as scripts write it.
_ACCEPT_RA = re.compile(
    r"echo ([012]) ?> ?/proc/sys/net/ipv6/conf/\S+/accept_ra"
    r"|(?:/sbin/)?sysctl (?:-q )?(?:-w )?net\.ipv6\.conf\.\S+\.accept_ra=([012])"
)
_PATTERN = re.compile(r"mac/([0-9A-Fa-f:]{17})(?:/1?)?=(\S+)")


@dataclass
class _Draft:
    """What the stanzas of one interface add up to."""

    name: str
    origin: str
    addresses: list[str] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    servers: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    unsupported: list[Unsupported] = field(default_factory=list)

    def interface(self, mac: str) -> Interface:
        plain = Interface(
            name=self.name,
            mac=mac,
            addresses=unique(self.addresses),
            routes=unique(self.routes),
            dns=Dns(unique(self.servers), unique(self.search)),
        )
        return replace(plain, **self.values)  # type: ignore[arg-type]  # keys are fields, set below


def read(root: Path) -> Configured | None:
    """Return what the files say; ``None`` where they configure nothing but the loopback."""
    files = parse(root)
    macs: dict[str, str] = {}
    started: set[str] = set()
    for word in files.started:
        match = _PATTERN.fullmatch(word)
        if match:
            macs[match.group(2)] = mac_address(match.group(1))
            started.add(match.group(2))
        else:
            started.add(word.partition("=")[2] or word.partition(":")[0])
    drafts: dict[str, _Draft] = {}
    # Aliases (eth0:1) last: the first address of an interface is its primary one.
    for stanza in sorted(files.stanzas, key=lambda entry: ":" in entry.name):
        name = stanza.name.partition(":")[0]
        if name == "lo" and stanza.method == "loopback":
            continue
        draft = drafts.setdefault(name, _Draft(name, f"{stanza.file}:{stanza.line}"))
        _read_stanza(draft, stanza)
    if not drafts:
        return None
    others = [Unsupported(text, path, line) for path, line, text in files.others]
    return Configured(
        source=MAIN_FILE,
        interfaces=tuple(draft.interface(macs.get(name, "")) for name, draft in drafts.items()),
        started=frozenset(started),
        origin=tuple((name, draft.origin) for name, draft in drafts.items()),
        unsupported=tuple(others + [entry for draft in drafts.values() for entry in draft.unsupported]),
    )


def _read_stanza(draft: _Draft, stanza: Stanza) -> None:
    version = 6 if stanza.family == "inet6" else 4
    known = {"inet": ("static", "dhcp", "manual"), "inet6": ("static", "dhcp", "manual", "auto")}
    if stanza.method not in known.get(stanza.family, ()):
        text = f"iface {stanza.name} {stanza.family} {stanza.method}"
        draft.unsupported.append(Unsupported(text, stanza.file, stanza.line))
        return
    if re.search(r"\.\d+$|^vlan\d", stanza.name):
        draft.unsupported.append(Unsupported(f"VLAN {stanza.name}", stanza.file, stanza.line))
    if stanza.method == "dhcp":
        draft.values["dhcp4" if version == 4 else "dhcp6"] = True
    if stanza.method == "auto":
        draft.values["accept_ra"] = True
    options = {word: value for _line, word, value in stanza.options}
    if "address" in options:
        _address(draft, stanza, options)
    if version == 6 and stanza.method == "static" and "gateway" in options:
        # The method switches autoconfiguration off; networkd would take advertised addresses as well.
        draft.values.setdefault("accept_ra", False)
    for line, word, value in stanza.options:
        try:
            taken = _option(draft, stanza, version, word, value, options)
        except ValueError as error:
            draft.unsupported.append(Unsupported(f"{word} {value}: {error}", stanza.file, line))
            continue
        if not taken:
            draft.unsupported.append(Unsupported(f"{word} {value}", stanza.file, line))


def _address(draft: _Draft, stanza: Stanza, options: dict[str, str]) -> None:
    line = next(number for number, word, _value in stanza.options if word == "address")
    address, mask = options["address"], options.get("netmask", "")
    if not mask and "/" not in address and stanza.family == "inet":
        mask = _classful(address)
    try:
        draft.addresses.append(interface_address(address, mask))
    except ValueError as error:
        draft.unsupported.append(Unsupported(f"address {address} {mask}: {error}", stanza.file, line))


def _classful(address: str) -> str:
    # ifupdown computes the mask from the class where there is none (interfaces(5), "netmask").
    first = int(address.partition(".")[0] or 0) if address.partition(".")[0].isdigit() else 0
    return "8" if first < 128 else "16" if first < 192 else "24"


def _option(draft: _Draft, stanza: Stanza, version: int, word: str, value: str, options: dict[str, str]) -> bool:
    """Take one option into the draft; ``False`` where it has no place in the model."""
    key = word.replace("_", "-")
    if key in ("address", "netmask", "metric") or key in _IGNORED:
        return True
    if key == "gateway":
        metric = options.get("metric")
        target = DEFAULT_V6 if version == 6 else DEFAULT_V4
        draft.routes.append(Route(target, plain_address(value), int(metric) if metric else None))
    elif key == "mtu":
        draft.values["mtu"] = int(value)
    elif key == "hwaddress":
        draft.values["cloned_mac"] = mac_address(value.split()[-1])
    elif key == "accept-ra":
        draft.values["accept_ra"] = value != "0"
    elif key in ("client", "client-id"):
        draft.values["dhcp_client_id"] = value
    elif key in ("dns-nameservers", "dns-nameserver"):
        draft.servers.extend(plain_address(entry) for entry in value.split())
    elif key in ("dns-search", "dns-domain"):
        draft.search.extend(value.split())
    elif key in _COMMANDS:
        return _command(draft, stanza, version, value)
    else:
        # What is taken down again belongs to what an `up` line made, which is judged there.
        return key in _COMMANDS_DOWN
    return True


def _command(draft: _Draft, stanza: Stanza, version: int, text: str) -> bool:
    """Take an ``up`` line that adds a route or an address; ``ValueError`` says what it cannot hold."""
    setting = _ACCEPT_RA.fullmatch(text)
    if setting:
        draft.values["accept_ra"] = "0" not in setting.groups()
        return True
    plain = re.sub(r"\|\|\s*(true|:|/bin/true)\s*$", "", text).strip(" ;")
    words = [stanza.name if word in ("$IFACE", "${IFACE}") else word for word in shlex.split(plain)]
    if not words or re.search(r"[$`&|;<>]", " ".join(words)):
        return False
    program = words.pop(0).rpartition("/")[2]
    if program == "route" and "add" in words:
        words.remove("add")
        draft.routes.append(from_route_words(words))
        return True
    if program != "ip":
        return False
    while words and words[0] in ("-4", "-6"):
        version = int(words.pop(0)[1])
    subject, action, rest = [*words[:2], "", ""][0], [*words[:2], "", ""][1], words[2:]
    if subject in ("route", "r", "ro") and action in ("add", "replace", "append", "a"):
        draft.routes.append(from_ip_words(rest, version=version))
        return True
    if subject in ("addr", "address", "a") and action in ("add", "a") and rest:
        draft.addresses.append(_added_address(stanza.name, rest))
        return True
    if subject in ("link", "l") and action in ("set", "s"):
        return _link_set(draft, [word for word in rest if word not in ("dev", stanza.name)])
    return False


def _added_address(name: str, words: list[str]) -> str:
    left = words[1:]
    while left:
        word = left.pop(0)
        if word not in ("dev", "label", "brd", "broadcast", "scope") or not left:
            raise ValueError(f"address option {word}")
        value = left.pop(0)
        if word == "dev" and value != name:
            raise ValueError(f"address of another interface, {value}")
    return interface_address(words[0])


def _link_set(draft: _Draft, words: list[str]) -> bool:
    if words == ["up"]:
        return True
    if len(words) in (2, 3) and words[0] == "mtu" and words[2:] in ([], ["up"]):
        draft.values["mtu"] = int(words[1])
        return True
    return False
