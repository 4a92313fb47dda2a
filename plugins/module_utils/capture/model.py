# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The format-neutral network model: what readers produce and writers render.

Addresses and route targets are in canonical CIDR form (``ipaddress`` of the standard library), the
default routes are ``0.0.0.0/0`` and ``::/0``. An interface is known by its **permanent** MAC
address; its name is only a hint, because the new system's kernel may name it otherwise.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

DEFAULT_V4 = "0.0.0.0/0"
DEFAULT_V6 = "::/0"

#: A word that names a credential (wpa-psk, wireless-key, --password, private-key …), and all that follows it.
_SECRET = re.compile(
    r"((?:(?:psk|passw|passphrase|secret|token|wep)[\w.-]*|(?:^|[\s_-])(?:key|pwd|pass)\d*)[\s=:]+).+"
    r"|(://[^/\s:@]*:)[^@\s]+(?=@)",
    re.IGNORECASE,
)


def hide_secrets(text: str) -> str:
    """Return a line of configuration without the credentials in it; it is going to be shown."""
    return _SECRET.sub(lambda found: (found.group(1) or found.group(2)) + "(hidden)", text)


@dataclass(frozen=True)
class Route:
    """A route: ``to`` in CIDR form, ``via`` empty for a route without a next hop."""

    to: str
    via: str = ""
    metric: int | None = None
    on_link: bool = False
    source: str = ""

    @property
    def is_default(self) -> bool:
        return self.to in (DEFAULT_V4, DEFAULT_V6)


@dataclass(frozen=True)
class Dns:
    """Name servers as addresses, search domains in their order."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class GlobalDns(Dns):
    """``resolv.conf``: its content, its options, and how it lies on the disk.

    ``resolv_conf`` is ``file``, ``none`` or ``link:<target>``; ``from_dhcp`` tells that the servers
    were handed out by a DHCP server and are not configured on the host.
    """

    resolv_conf: str = "file"
    options: tuple[str, ...] = ()
    from_dhcp: bool = False


@dataclass(frozen=True)
class Interface:
    """One network interface.

    ``mac`` is permanent and lower case with colons; ``cloned_mac`` is one set by the configuration.
    ``accept_ra`` is ``None`` where the configuration leaves it to the kernel. ``dhcp_client_id`` is
    hexadecimal with colons, ``mac`` or ``duid``, and empty for what the DHCP client of the old
    system does by itself. ``dhcp_dns`` and ``dhcp_gateway`` tell whether those of the lease are used.
    """

    name: str
    mac: str = ""
    kind: str = "ethernet"
    dhcp4: bool = False
    dhcp6: bool = False
    accept_ra: bool | None = None
    dhcp_client_id: str = ""
    dhcp_dns: bool = True
    dhcp_gateway: bool = True
    addresses: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    mtu: int | None = None
    cloned_mac: str = ""
    dns: Dns = field(default_factory=Dns)

    @property
    def is_static(self) -> bool:
        return bool(self.addresses) and not (self.dhcp4 or self.dhcp6)


@dataclass(frozen=True)
class Unsupported:
    """A piece of configuration that cannot be carried over; ``line`` is 0 where there is none.

    It is shown and kept in reports, so a credential in it (``wpa-psk …``) is hidden from the start.
    """

    what: str
    file: str
    line: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", hide_secrets(self.what))

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.what} ({where})"


@dataclass(frozen=True)
class Network:
    """The network configuration of a host; ``source`` names the reader that it comes from."""

    interfaces: tuple[Interface, ...] = ()
    dns: GlobalDns = field(default_factory=GlobalDns)
    unsupported: tuple[Unsupported, ...] = ()
    source: str = ""

    def to_document(self) -> dict[str, Any]:
        """Return the part ``network`` of a capture document."""
        document: dict[str, Any] = _plain(self)
        return document


def network_from(document: Network | Mapping[str, Any]) -> Network:
    """Return the model for a model or for its document; unknown keys are left aside."""
    if isinstance(document, Network):
        return document
    return Network(
        interfaces=tuple(_interface(entry) for entry in document.get("interfaces", ())),
        dns=GlobalDns(**_known(GlobalDns, document.get("dns") or {})),
        unsupported=tuple(Unsupported(**_known(Unsupported, entry)) for entry in document.get("unsupported", ())),
        source=str(document.get("source", "")),
    )


def _interface(document: Mapping[str, Any]) -> Interface:
    values = _known(Interface, document)
    values["routes"] = tuple(Route(**_known(Route, entry)) for entry in document.get("routes", ()))
    values["dns"] = Dns(**_known(Dns, document.get("dns") or {}))
    return Interface(**values)


def _known(kind: type, document: Mapping[str, Any]) -> dict[str, Any]:
    names = {entry.name for entry in fields(kind)}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in document.items() if name in names
    }


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


# --- the canonical forms -------------------------------------------------------------------------


def mac_address(text: str) -> str:
    """Return a MAC address in lower case with colons; ``""`` for what is none."""
    digits = "".join(letter for letter in text.strip().lower() if letter in "0123456789abcdef")
    if len(digits) != 12:
        return ""
    return ":".join(digits[index : index + 2] for index in range(0, 12, 2))


def interface_address(address: str, mask: str = "") -> str:
    """Return ``address/prefix`` for ``address``, with a prefix of its own or from ``mask``.

    ``mask`` is a length or a netmask. Without either the address stands for itself, as the tools
    have it. Raises ``ValueError`` for what is no address.
    """
    text = address.strip()
    if "/" not in text and mask.strip():
        text = f"{text}/{mask.strip()}"
    return ipaddress.ip_interface(text).with_prefixlen


def route_target(text: str, mask: str = "", *, version: int = 4) -> str:
    """Return the canonical target of a route; raises ``ValueError`` for what is none."""
    word = text.strip()
    if word in ("default", "any", "all"):
        return DEFAULT_V6 if version == 6 else DEFAULT_V4
    if "/" not in word and mask.strip():
        word = f"{word}/{mask.strip()}"
    return ipaddress.ip_network(word, strict=False).with_prefixlen


def plain_address(text: str) -> str:
    """Return a canonical address without a prefix; raises ``ValueError`` for what is none."""
    return str(ipaddress.ip_address(text.strip()))


def version_of(address: str) -> int:
    """Return 4 or 6 for an address or CIDR in canonical form."""
    return 6 if ":" in address else 4


def unique(values: tuple[Any, ...] | list[Any]) -> tuple[Any, ...]:
    """Return the values without repetition, in their order."""
    return tuple(dict.fromkeys(values))
