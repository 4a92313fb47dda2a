# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage one on a disk image: the engine's own staging, run in a mount namespace where the image is the host.

``python -m tests.crash.stage_one FOLDER`` is started by ``stage`` under ``unshare --mount``: the image's
``/boot`` and ``/var/lib`` lie over those of this machine, seen by this one process and nobody else.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import staging
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import proof
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle.manifest import FILE_NAME
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import berth, free_space, fsmap, stow
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import build
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from . import bundle, filesystems
from .combos import DISK_BYTES, Combo, find
from .old_system import OldSystem, Place

RUN_ID = "20260102T030405Z-abcdef"
SERIAL = "CRASH0815"
MACHINE_ID = bundle.MACHINE_ID
_NOW = 1_767_300_000


def facts(combo: Combo, system: OldSystem) -> dict[str, Any]:
    """Return the facts that the plan is made from, as the probe would find them on this host."""
    disk = {
        "name": {"virtio": "/dev/vda", "sata": "/dev/sda", "nvme": "/dev/nvme0n1"}[combo.bus],
        "by_id": [],
        "serial": SERIAL,
        "wwn": "",
        "size_bytes": DISK_BYTES,
        "logical_sector_bytes": combo.sector_bytes,
        "table": "dos" if combo.table == "mbr" else "gpt",
        "table_id": system.table_id,
        "partitions": _partitions(combo, system),
    }
    return {
        "hostname": "gw-0815",
        "machine_id": MACHINE_ID,
        "architecture": "x86_64",
        "firmware": combo.firmware,
        "secure_boot": False,
        "virtualization": "qemu",
        "cmdline": "",
        "memory_bytes": 512 << 20,
        "memory_available_bytes": 400 << 20,
        "swap_devices": [],
        "disks": [disk],
        "system_disk": disk["name"],
        "system_disk_doubt": "",
        "root": {
            "device": disk["name"] + ("p" if combo.bus == "nvme" else "") + str(system.root.number),
            "disk": disk["name"],
            "fstype": combo.fstype,
            "uuid": system.root_uuid,
            "size_bytes": system.root.size,
            "free_bytes": system.root.size * 9 // 10,
        },
        "esp": _esp(system, disk["name"]),
    }


def room(combo: Combo, system: OldSystem, device: str, mounted: Path) -> dict[str, Any]:
    """Return the facts of the room for a lifeboat, read from the mounted old root by the engine itself."""
    where = free_space.Root(device, combo.fstype, system.root.start, system.root.size)
    found = free_space.root_areas(CommandRunner(), where, Path("/"), lambda _root: fsmap.free_extents(mounted))
    areas = [{"kind": "file", "start": one.start, "length": one.length, "node": device} for one in found.areas]
    budget = free_space.budget(mounted)
    return {
        "lifeboat_areas": areas,
        "lifeboat_budget_bytes": budget,
        "lifeboat_held_bytes": max(found.free_bytes - budget, 0),
        "lifeboat_doubt": found.doubt,
    }


def _esp(system: OldSystem, name: str) -> dict[str, Any] | None:
    if system.esp is None:
        return None
    return {
        "disk": name,
        "table": "gpt",
        "number": system.esp.number,
        "start": system.esp.start,
        "length": system.esp.size,
        "partuuid": system.esp_partuuid,
        "fs_uuid": f"{system.esp_uuid[:4]}-{system.esp_uuid[4:]}",
        "label": "",
        "free_bytes": system.esp.size // 2,
        "mount": "/boot/efi",
    }


def _partitions(combo: Combo, system: OldSystem) -> list[dict[str, Any]]:
    found = []
    for place in (system.esp, system.root):
        if place is not None:
            is_root = place is system.root
            found.append(
                {
                    "number": place.number,
                    "start_lba": place.start // combo.sector_bytes,
                    "sectors": place.size // combo.sector_bytes,
                    "type": "0x83" if combo.table == "mbr" else "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
                    "uuid": "" if is_root else system.esp_partuuid,
                    "name": "",
                    "attributes": "0x0",
                    "node": "",
                    "fstype": combo.fstype if is_root else "vfat",
                    "fs_uuid": system.root_uuid if is_root else f"{system.esp_uuid[:4]}-{system.esp_uuid[4:]}",
                    "fs_label": "",
                    "mounts": ["/"] if is_root else ["/boot/efi"],
                    "holders": [],
                }
            )
    return found


def make_plan(combo: Combo, found: dict[str, Any], manifest: bytes) -> dict[str, Any]:
    """Return the frozen plan of an unattended run."""
    options = {
        "run_id": RUN_ID,
        "host": "gw-0815",
        "now": _NOW,
        "lifetime": 40 * 365 * 86400,
        "attended": False,
        "lifeboat": combo.lifeboat,
        "login_user": "admin",
        "kernel_arguments": ["console=ttyS0", "quiet"],
        "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
    }
    return build.build(found, json.loads(manifest), bundle.layout(combo), options)


def stage(folder: Path, combo: Combo, system: OldSystem, image: Path) -> None:
    """Stage and arm on ``image`` in a process of its own; leaves ``plan.json`` and more in ``folder``."""
    order = {"combo": combo.name, "system": asdict(system), "image": str(image)}
    (folder / "order.json").write_text(json.dumps(order))
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", __name__, str(folder)]
    with filesystems.MOUNTS:
        filesystems.run(*argv)


def main(folder: Path) -> None:
    order = json.loads((folder / "order.json").read_text())
    combo, image = find(order["combo"]), Path(order["image"])
    values = order["system"]
    for name in ("root", "esp"):
        values[name] = Place(**values[name]) if values[name] else None
    system = OldSystem(**values)
    manifest = (folder / "bundle/manifest.json").read_bytes()
    filesystems.let_go_of_others()
    with filesystems.loop(image, system.root.start, system.root.size, combo.sector_bytes) as device:
        filesystems.run("mount", "-t", combo.fstype, device, str(folder / "old"))
        try:
            for path in ("boot", "var/lib"):
                filesystems.run("mount", "--bind", str(folder / "old" / path), f"/{path}")
            found = {**facts(combo, system), **room(combo, system, device, folder / "old")}
            _stage(make_plan(combo, found, manifest), system, folder, image, manifest)
        finally:
            for path in ("/boot", "/var/lib", str(folder / "old")):
                filesystems.run("umount", path)


def _stage(plan: dict[str, Any], system: OldSystem, folder: Path, image: Path, manifest: bytes) -> None:
    (folder / "plan.json").write_text(json.dumps(plan))
    # The one thing that a loop device cannot show as a disk does: on which disk, and where, the root lies.
    gaps = tuple(Extent(*one) for one in plan["lifeboat"]["gaps"])
    ground = stow.Ground(str(image), system.root.start, gaps=gaps)
    berth.ground_of = lambda *_arguments, **_options: ground
    extra = {f"{proof.FOLDER}/{FILE_NAME}": manifest}
    order = staging.Staging(CommandRunner(), plan, str(folder / "bundle"), folder / "capture.json", extra=extra)
    order.apply()
    if order.pending():
        raise RuntimeError(f"staging is not repeatable: {order.pending()}")
    lifeboat = order.lifeboat()
    if lifeboat is not None:
        (folder / "lifeboat.json").write_text(json.dumps(lifeboat.to_document()))
    order.arm()
    os.sync()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
