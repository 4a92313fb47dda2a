# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ``disks`` of the facts: every disk of the host with its table, partitions and uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..disk import mbr, sysfs
from ..disk.marks import Marks, marks
from ..disk.nodes import partition_node
from ..disk.probe import Signature, probe
from ..disk.usage import Mount, mounts, swaps
from ..faults.fault import Fault
from ..runner import Runner


def read_disks(runner: Runner, root: Path = sysfs.ROOT) -> list[dict[str, Any]]:
    """Return every readable disk; one that cannot be read has table ``other`` and no partitions."""
    mounted = mounts(root)
    return [_disk(runner, name, mounted, root) for name in sysfs.disks(root)]


def doubt_of(disks: Sequence[dict[str, Any]], names: Sequence[str], root_uuid: str) -> str:
    """Return why the system disk is not sure, or an empty text; ``names`` hold the root."""
    if not names:
        return "the root file system lies on no disk that was found"
    if len(names) > 1:
        return f"the root file system lies on several disks: {', '.join(sorted(names))}"
    system = next((disk for disk in disks if disk["name"] == names[0]), None)
    if system is None:
        return f"{names[0]}, which holds the root file system, is no disk that can be read"
    for other in disks:
        shared = [] if other is system else _shared(system, other, root_uuid)
        if shared:
            return f"{other['name']} has the same {' and '.join(shared)} as {system['name']}"
    if not any(system[mark] for mark in ("serial", "wwn", "table_id")) and len(disks) > 1:
        return f"{system['name']} has no serial number, WWN or table id to know it by"
    return ""


def _shared(system: dict[str, Any], other: dict[str, Any], root_uuid: str) -> list[str]:
    names = {"serial": "serial number", "wwn": "WWN", "table_id": "partition table id"}
    found = [text for mark, text in names.items() if system[mark].strip("0") and system[mark] == other[mark]]
    if root_uuid and any(part["fs_uuid"] == root_uuid for part in other["partitions"]):
        found.append("root file system UUID")
    return found


def _disk(runner: Runner, name: str, mounted: list[Mount], root: Path) -> dict[str, Any]:
    base = f"sys/block/{name}"
    facts: dict[str, Any] = {
        "name": sysfs.node_of(name),
        "by_id": sysfs.links(name, "dev/disk/by-id", root),
        "serial": "",
        "wwn": "",
        "model": " ".join(sysfs.read(root, f"{base}/device/model").split()),
        "transport": transport(name, root),
        "size_bytes": sysfs.size_bytes(name, root),
        "logical_sector_bytes": sysfs.sector_bytes(name, root),
        "physical_sector_bytes": sysfs.read_number(root, f"{base}/queue/physical_block_size"),
        "readonly": sysfs.read(root, f"{base}/ro") == "1",
        "removable": sysfs.read(root, f"{base}/removable") == "1",
        "rotational": sysfs.read(root, f"{base}/queue/rotational") == "1",
        "table": "other",
        "table_id": "",
        "partitions": [],
    }
    try:
        found = marks(name, root)
    except Fault:
        return facts  # a card reader without a card, or a failing disk; it is no system disk
    facts.update(
        serial=found.serial,
        wwn=found.wwn,
        table=found.table.kind,
        table_id=found.table.table_id,
        partitions=_partitions(runner, name, found, mounted, root),
    )
    if found.table.kind == "none" and probe(runner, facts["name"]).kind:
        facts["table"] = "other"
    return facts


def _partitions(runner: Runner, name: str, found: Marks, mounted: list[Mount], root: Path) -> list[dict[str, Any]]:
    known = {part.number: part.name for part in sysfs.partitions(name, root)}
    swapping = {sysfs.kernel_name(one, root) for one in swaps(root)}
    rows = _gpt_rows(found) if found.table.gpt else _dos_rows(found)
    for row in rows:
        node = partition_node(sysfs.node_of(name), row["number"])
        kernel = known.get(row["number"], "")
        signature = probe(runner, node) if kernel else Signature()
        targets = _targets(kernel, mounted, root) if kernel else []
        row.update(
            node=node,
            fstype=signature.kind,
            fs_uuid=signature.uuid,
            fs_label=signature.label,
            mounts=targets + (["swap"] if kernel in swapping else []),
            holders=[label(one, root) for one in sysfs.holders(kernel, root)] if kernel else [],
        )
    return rows


def _gpt_rows(found: Marks) -> list[dict[str, Any]]:
    return [
        {
            "number": entry.number,
            "start_lba": entry.first_lba,
            "sectors": entry.sectors,
            "type": entry.type_guid,
            "uuid": entry.uuid.lower(),
            "name": entry.name,
            "attributes": f"0x{entry.attributes:x}",
        }
        for entry in found.table.entries
    ]


def _dos_rows(found: Marks) -> list[dict[str, Any]]:
    entries = found.table.mbr.entries if found.table.mbr and found.table.kind == "dos" else ()
    return [
        {
            "number": entry.number,
            "start_lba": entry.first_lba,
            "sectors": entry.sectors,
            "type": f"0x{entry.type:02x}",
            "uuid": f"{found.table.table_id}-{entry.number:02d}",
            "name": "",
            "attributes": "0x80" if entry.bootable else "0x0",
        }
        for entry in entries
        if entry.type not in mbr.EXTENDED
    ]


def _targets(kernel: str, mounted: list[Mount], root: Path) -> list[str]:
    number = sysfs.device_number(kernel, root)
    by_source = [
        one
        for one in mounted
        if one.device_number == number
        or (one.source.startswith("/dev/") and sysfs.kernel_name(one.source, root) == kernel)
    ]
    return list(dict.fromkeys(one.target for one in by_source))


def label(holder: str, root: Path = sysfs.ROOT) -> str:
    """Return what holds a partition, for people: ``lvm: VG``, ``crypt: NAME``, ``md: md0``."""
    mapped, uuid = sysfs.mapper(holder, root)
    if uuid.startswith("LVM-"):
        return f"lvm: {mapped.replace('--', chr(0)).split('-', 1)[0].replace(chr(0), '-')}"
    if mapped:
        return f"{uuid.split('-', 1)[0].lower() or 'dm'}: {mapped}"
    return f"md: {holder}"


def transport(name: str, root: Path = sysfs.ROOT) -> str:
    """Return how a disk is attached: virtio, nvme, mmc, xen, usb, ata or scsi."""
    for prefix, kind in (("vd", "virtio"), ("nvme", "nvme"), ("mmcblk", "mmc"), ("xvd", "xen")):
        if name.startswith(prefix):
            return kind
    path = str((root / "sys/block" / name).resolve())
    for part, kind in (("/usb", "usb"), ("/ata", "ata")):
        if part in path:
            return kind
    return "scsi"
