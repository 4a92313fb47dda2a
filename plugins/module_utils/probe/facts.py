# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Assembles the facts of a host: all that preflight judges and the plan is made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..lifeboat.free_space import read_room
from ..runner import Runner
from .bootloader import read_bootloader
from .disks import doubt_of, read_disks
from .esp import read_esp
from .firmware import read_firmware
from .interfaces import read_interfaces
from .memory import read_memory
from .modalias import disk_chain, nic_chain
from .mounts import Place, place_of, read_mounts
from .old_system import read_old_system
from .rehearsals import read_rehearsals
from .system import read_system
from .volume_groups import read_volume_groups


def read_facts(
    runner: Runner, root: Path = sysfs.ROOT, permanent: Callable[[str], str] | None = None
) -> dict[str, Any]:
    """Return the facts document. Read-only; works on old kernels and with few tools.

    Needs ``blkid``; everything else comes from /sys, /proc and the disks themselves. ``permanent``
    gives an interface's permanent MAC and is for tests.
    """
    disks = read_disks(runner, root)
    at_root = place_of(runner, "/", root)
    nodes = [sysfs.node_of(name) for name in at_root.disks] if at_root else []
    doubt = doubt_of(disks, nodes, at_root.uuid if at_root else "")
    interfaces = read_interfaces(root, permanent)
    names = [sysfs.kernel_name(node, root) for node in nodes]
    firmware = read_firmware(root)
    return {
        **read_system(root),
        **firmware,
        **read_memory(root),
        "root": _root(at_root),
        "boot": _boot(place_of(runner, "/boot", root)),
        "mounts": read_mounts(root),
        "disks": disks,
        "volume_groups": read_volume_groups(runner, disks, root),
        "system_disk": nodes[0] if nodes and not doubt else None,
        "system_disk_doubt": doubt,
        "esp": read_esp(disks, firmware["efi"], nodes[0] if nodes else None, root),
        **_lifeboat(runner, disks, nodes, at_root, root),
        "rehearsals": read_rehearsals(root),
        "interfaces": interfaces,
        "modaliases": [entry for name in names for entry in disk_chain(name, root)]
        + [entry for one in interfaces if one["modalias"] for entry in nic_chain(one["name"], root)],
        "bootloader": read_bootloader(runner, root),
        "old_system": read_old_system(root),
    }


def _lifeboat(
    runner: Runner, disks: list[dict[str, Any]], nodes: list[str], at_root: Place | None, root: Path
) -> dict[str, Any]:
    """Return where a lifeboat may lie: areas of the disk under /, and how much of them a file may take.

    Also where that disk is in doubt: the operator may still name it, and it is the one with the root.
    """
    disk = next((one for one in disks if nodes == [one["name"]]), None)
    if disk is None or at_root is None:
        room: dict[str, Any] = {"areas": [], "budget_bytes": 0, "held_bytes": 0, "doubt": ""}
    else:
        room = read_room(runner, disk, at_root.device, at_root.mount.fstype, root)
    return {f"lifeboat_{name}": value for name, value in room.items()}


def _root(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {}
    return {
        "device": place.device,
        "disk": sysfs.node_of(place.disks[0]) if len(place.disks) == 1 else "",
        "fstype": place.mount.fstype,
        "uuid": place.uuid,
        "mount_options": place.mount.options,
        "size_bytes": place.size_bytes,
        "free_bytes": place.free_bytes,
        "stack": list(place.stack),
    }


def _boot(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {}
    return {
        "mount": place.mount.target,
        "device": place.device,
        "fstype": place.mount.fstype,
        "uuid": place.uuid,
        "free_bytes": place.free_bytes,
        "prefix": place.inside,
        "stack": list(place.stack),
    }
