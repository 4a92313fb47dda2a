# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The trial guard: what makes a new system that cannot be reached end by itself.

Three parts, for three ways to be lost; all of them act only where the dispatcher says that the slot is
on trial (kernel argument ``dualroot.trial``), so a slot that is marked good never meets them again.

- A unit of the new system that restarts it when the time is up and nobody could reach it. It needs
  ``sh`` and nothing of the network, and stands before everything else, emergency mode included.
- An archive beside the slot's own initramfs (initramfs-tools) for a hang inside of that.
- Kernel arguments (``dispatcher.TRIAL``) that turn hangs of the kernel into panics, and so into restarts.

After three tries the dispatcher boots the good slot or the recovery system.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..boot import cpio
from ..boot._trial_script import EARLY, GUARD, UNIT

UNIT_NAME = "dualroot-trial.service"
GUARD_PATH = "usr/lib/dualroot/trial-guard"
#: Beside the slot state, where the dispatcher looks for it.
ARCHIVE = "trial.cpio"
#: initramfs-tools reads every file in there, before it looks for any device (initramfs-tools(7)).
EARLY_PATH = "conf/conf.d/dualroot-trial"
#: Seconds that an initramfs gets to find its root, or the limit of the trial where that is less.
EARLY_SECONDS = 300


def write(root: Path, dispatch: Path, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
    """Write guard and unit into the new root and the archive to ``dispatch``, or remove them for a limit of 0."""
    units = root / "etc/systemd/system"
    wanted = units / "sysinit.target.wants" / UNIT_NAME
    archive = dispatch / ARCHIVE
    limit = int(plan["trial_limit"])
    if not limit:
        for path in (wanted, units / UNIT_NAME, archive):
            path.unlink(missing_ok=True)
        return
    for folder in (wanted.parent, (root / GUARD_PATH).parent):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(root / GUARD_PATH, guard_text(plan, capture).encode(), 0o755)
    write_file(units / UNIT_NAME, UNIT.replace("@GUARD@", f"/{GUARD_PATH}").encode())
    if not wanted.is_symlink():
        wanted.symlink_to(f"../{UNIT_NAME}")
    early = EARLY.replace("@SECONDS@", str(min(limit, EARLY_SECONDS)))
    write_file(archive, cpio.pack({EARLY_PATH: early.encode()}))


def guard_text(plan: Mapping[str, Any], capture: Mapping[str, Any]) -> str:
    """Return the guard: what it looks for is what the old system had."""
    network = capture.get("network") or {}
    interfaces = network.get("interfaces") or ()
    values = {
        "LIMIT": str(int(plan["trial_limit"])),
        "SLOT": str(plan["slot"]),
        "RUN": str(plan["run_id"]),
        "PORTS": " ".join(f"{int(port):04X}" for port in (capture.get("ssh") or {}).get("ports") or (22,)),
        "ADDRESSES": " ".join(_addresses(interfaces)),
        "GATEWAYS": " ".join(_gateways(interfaces)),
    }
    text = GUARD
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _addresses(interfaces: Any) -> list[str]:
    """Return the static IPv4 addresses; those of a lease may rightly be others."""
    found = [ipaddress.ip_interface(one) for interface in interfaces for one in interface.get("addresses") or ()]
    return [str(one.ip) for one in found if one.version == 4]


def _gateways(interfaces: Any) -> list[str]:
    """Return the next hops of the static IPv4 default routes."""
    routes = [route for interface in interfaces for route in interface.get("routes") or ()]
    return [str(route["via"]) for route in routes if route.get("to") == "0.0.0.0/0" and route.get("via")]
