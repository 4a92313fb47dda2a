# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The trial guard: what makes a new system that is not healthy, or that cannot be reached, end by itself.

Three parts, for three ways to be lost; all of them act only where the dispatcher says that the slot is
on trial (kernel argument ``dualroot.trial``), so a slot that is marked good never meets them again.

- A unit of the new system that restarts it when a required check has failed, and when the time is up and nobody
  could reach it. It needs ``sh`` and nothing of the network, and stands before everything else, emergency mode
  included.
- An archive beside the slot's own initramfs (initramfs-tools, or systemd as with dracut) for a hang inside of that.
- Kernel arguments (``dispatcher.TRIAL``) that turn hangs of the kernel into panics, and so into restarts.

After three tries the dispatcher boots the good slot or the recovery system.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from . import cpio, system_units
from ._trial_script import EARLY, EARLY_UNIT, EARLY_WANTS, GUARD, UNIT

UNIT_NAME = "dualroot-trial.service"
GUARD_PATH = "usr/lib/dualroot/trial-guard"
#: Beside the slot state, where the dispatcher looks for it.
ARCHIVE = "trial.cpio"
#: initramfs-tools reads every file in there, before it looks for any device (initramfs-tools(7)).
EARLY_PATH = "conf/conf.d/dualroot-trial"
#: The same for an initramfs with systemd: a unit, and a drop-in that wants it, because the archive has no links.
EARLY_UNIT_PATH = "etc/systemd/system/dualroot-early.service"
EARLY_WANTS_PATH = "etc/systemd/system/sysinit.target.d/dualroot.conf"
#: Seconds that an initramfs gets to find its root, or the limit of the trial where that is less.
EARLY_SECONDS = 300

_DEFAULT_ROUTES = {4: "0.0.0.0/0", 6: "::/0"}


def write(root: Path, dispatch: Path, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
    """Write guard and unit into the new root and the archive to ``dispatch``, or remove them for a limit of 0."""
    archive = dispatch / ARCHIVE
    limit = int(plan["trial_limit"])
    if not limit:
        system_units.remove(root, UNIT_NAME, "sysinit.target.wants")
        archive.unlink(missing_ok=True)
        return
    system_units.write_script(root, GUARD_PATH, guard_text(plan, capture))
    system_units.write(root, UNIT_NAME, UNIT.replace("@GUARD@", f"/{GUARD_PATH}"), "sysinit.target.wants")
    write_file(archive, archive_bytes(limit))


def archive_bytes(limit: int) -> bytes:
    """Return the archive that ends an initramfs which hangs, for a trial of ``limit`` seconds."""
    seconds = str(min(limit, EARLY_SECONDS))
    files = {EARLY_PATH: EARLY, EARLY_UNIT_PATH: EARLY_UNIT, EARLY_WANTS_PATH: EARLY_WANTS}
    return cpio.pack({path: text.replace("@SECONDS@", seconds).encode() for path, text in files.items()}, public=True)


def guard_text(plan: Mapping[str, Any], capture: Mapping[str, Any]) -> str:
    """Return the guard: what it looks for is what the system had that was captured."""
    network = capture.get("network") or {}
    interfaces = network.get("interfaces") or ()
    addresses6 = _addresses(interfaces, 6)
    values = {
        "LIMIT": str(int(plan["trial_limit"])),
        "SLOT": str(plan["slot"]),
        "RUN": str(plan["run_id"]),
        "PORTS": " ".join(f"{int(port):04X}" for port in (capture.get("ssh") or {}).get("ports") or (22,)),
        "ADDRESSES": " ".join(_addresses(interfaces, 4)),
        # As in /proc/net/if_inet6, and for people.
        "ADDRESSES6": " ".join(f"{int(ipaddress.IPv6Address(one)):032x}={one}" for one in addresses6),
        "GATEWAYS": " ".join(_gateways(interfaces, 4)),
        "GATEWAYS6": " ".join(_gateways(interfaces, 6)),
        "LEASES": " ".join(_leases(network, "dhcp4")),
        "LEASES6": " ".join(_leases(network, "dhcp6")),
    }
    text = GUARD
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _addresses(interfaces: Iterable[Mapping[str, Any]], version: int) -> list[str]:
    """Return the static addresses; those of a lease may rightly be others, and link-local ones are made anew."""
    found = [ipaddress.ip_interface(one) for interface in interfaces for one in interface.get("addresses") or ()]
    return [str(one.ip) for one in found if one.version == version and not one.ip.is_link_local]


def _leases(network: Mapping[str, Any], kind: str) -> list[str]:
    """Return ``NAME=MAC`` of the interfaces that had a lease, of ``dhcp4`` or ``dhcp6``; one of the two may be missing.

    One without a lease may be set to DHCP all the same: it has no cable. What the capture does not tell of an
    interface (bonds and bridges) is believed only where the host has no address of its own, for which is looked then.
    """
    interfaces = network.get("interfaces") or ()
    is_static = bool(_addresses(interfaces, 4) or _addresses(interfaces, 6))
    found = []
    for one in interfaces:
        mac = str(one.get("mac") or "")
        seen = (network.get("runtime") or {}).get(mac)
        if not one.get(kind) or (is_static if seen is None else not _had_address(seen, 4 if kind == "dhcp4" else 6)):
            continue
        # A network card may have another name in the new system; what the configuration makes keeps its own.
        is_card = mac and one.get("kind", "ethernet") == "ethernet"
        found.append(f"{'' if is_card else one.get('name', '')}={one.get('cloned_mac') or mac}")
    return found


def _had_address(seen: Mapping[str, Any], version: int) -> bool:
    # Old clients set a leased address without an end, which is then among the others.
    found = (ipaddress.ip_interface(one) for name in ("leased", "addresses") for one in seen.get(name) or ())
    return any(one.version == version and not one.ip.is_link_local for one in found)


def _gateways(interfaces: Iterable[Mapping[str, Any]], version: int) -> list[str]:
    """Return the next hops of the static default routes."""
    routes = [route for interface in interfaces for route in interface.get("routes") or ()]
    return [str(route["via"]) for route in routes if route.get("to") == _DEFAULT_ROUTES[version] and route.get("via")]
