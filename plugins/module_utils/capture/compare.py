# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Comparing what was captured with what the new system has: empty means carried over.

Both documents may be redacted or not; differences never hold a secret, only that one differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model import Interface, Route, network_from
from .redact import redact
from .writers.resolv_conf import search_of, servers_of


def compare(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return ``[{path, wanted, found}]``; ``path`` names the place in the capture document."""
    differences: list[dict[str, Any]] = []

    def check(path: str, want: Any, have: Any) -> None:
        if want != have:
            differences.append({"path": path, "wanted": want, "found": have})

    for key in ("hostname", "machine_id", "timezone"):
        if wanted.get(key):
            check(key, wanted[key], found.get(key))
    _compare_network(wanted.get("network") or {}, found.get("network") or {}, check)
    _compare_accounts(wanted, found, check)
    _compare_ssh(wanted.get("ssh") or {}, found.get("ssh") or {}, check)
    return differences


def _compare_network(wanted: Mapping[str, Any], found: Mapping[str, Any], check: Any) -> None:
    want, have = network_from(wanted), network_from(found)
    runtime, before = found.get("runtime") or {}, wanted.get("runtime") or {}
    by_mac = {interface.mac: interface for interface in have.interfaces}
    for interface in want.interfaces:
        path = f"network.interfaces[{interface.mac}]"
        other = by_mac.get(interface.mac)
        if other is None:
            check(path, interface.name, None)
            continue
        now = runtime.get(interface.mac)
        _compare_interface(path, interface, other, now, check)
        # What is set to DHCP and had no lease before has no cable, or its network no server.
        if interface.dhcp4 and now is not None and _has_ipv4(before.get(interface.mac), unknown=True):
            check(f"{path}.runtime.leased", True, _has_ipv4(now))
    if not want.dns.from_dhcp:
        check("network.dns.servers", list(servers_of(want)), list(servers_of(have)))
        # A lease may add domains of its own; those of the old system must be there.
        kept = [domain for domain in search_of(want) if domain in search_of(have)]
        check("network.dns.search", list(search_of(want)), kept)


def _compare_interface(
    path: str, want: Interface, have: Interface, runtime: Mapping[str, Any] | None, check: Any
) -> None:
    check(f"{path}.dhcp4", want.dhcp4, have.dhcp4)
    check(f"{path}.dhcp6", want.dhcp6, have.dhcp6)
    check(f"{path}.mtu", want.mtu or 1500, have.mtu or 1500)
    check(f"{path}.addresses", sorted(want.addresses), sorted(have.addresses))
    check(f"{path}.routes", _routes(want.routes), _routes(have.routes))
    if runtime is None:
        return
    # What the kernel has is what counts: configuration that did not come up carries nothing.
    check(f"{path}.runtime.addresses", sorted(want.addresses), sorted(_active(runtime) & set(want.addresses)))
    active_routes = {(entry["to"], entry["via"]) for entry in runtime.get("routes", ())}
    missing = [route for route in want.routes if (route.to, route.via) not in active_routes]
    check(f"{path}.runtime.routes", [], _routes(tuple(missing)))


def _has_ipv4(runtime: Mapping[str, Any] | None, *, unknown: bool = False) -> bool:
    return unknown if runtime is None else any(":" not in entry for entry in _active(runtime))


def _active(runtime: Mapping[str, Any]) -> set[str]:
    """Return the addresses that the kernel has; old DHCP clients set a lease without an end, as if it were static."""
    return set(runtime.get("addresses", ())) | set(runtime.get("leased", ()))


def _routes(routes: tuple[Route, ...]) -> list[str]:
    return sorted(f"{route.to} via {route.via}" if route.via else route.to for route in routes)


def _compare_accounts(wanted: Mapping[str, Any], found: Mapping[str, Any], check: Any) -> None:
    want, have = wanted.get("accounts") or {}, found.get("accounts") or {}
    users = {user["name"]: user for user in have.get("users", ())}
    for user in want.get("users", ()):
        path = f"accounts.users[{user['name']}]"
        other = users.get(user["name"])
        if other is None:
            check(path, "present", "absent")
            continue
        for key in ("home", "has_password"):
            check(f"{path}.{key}", user.get(key), other.get(key))
        if user["uid"] >= 1000 or user["uid"] == 0:
            check(f"{path}.uid", user["uid"], other["uid"])
        if "hash" in user and "hash" in other and user["hash"] != other["hash"]:
            check(f"{path}.hash", "the captured one", "another one")
    shown, seen = redact(wanted)["accounts"], redact(found)["accounts"]
    keys = {entry["path"]: entry["fingerprints"] for entry in seen["authorized_keys"]}
    for entry in shown["authorized_keys"]:
        path = f"accounts.authorized_keys[{entry['path']}]"
        check(path, entry["fingerprints"], keys.get(entry["path"], []))


def _compare_ssh(wanted: Mapping[str, Any], found: Mapping[str, Any], check: Any) -> None:
    shown, seen = redact({"ssh": wanted})["ssh"], redact({"ssh": found})["ssh"]
    public = {entry["path"]: entry.get("fingerprints") for entry in seen["host_keys"]}
    for entry in shown["host_keys"]:
        # DSA keys are nothing that a current sshd knows.
        if entry["path"].endswith(".pub") and "_dsa_" not in entry["path"]:
            check(f"ssh.host_keys[{entry['path']}]", entry["fingerprints"], public.get(entry["path"]))
    for key in ("root_login", "password_authentication", "ports"):
        if key in wanted:
            check(f"ssh.{key}", wanted[key], found.get(key))
