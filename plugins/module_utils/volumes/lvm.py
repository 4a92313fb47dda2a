# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What LVM says, from its JSON reports (lvmreport(7)), and the argv of what it is told to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..layout.resolve import PHYSICAL_VOLUME_HEADER
from ..runner import Runner

_REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix")


@dataclass(frozen=True)
class PhysicalVolume:
    """``group`` is empty for a volume in no group; a missing device is named ``[unknown]``."""

    node: str
    group: str
    size_bytes: int
    start_bytes: int
    extents: int


@dataclass(frozen=True)
class Group:
    name: str
    uuid: str
    extent_bytes: int
    extents: int
    free_extents: int


@dataclass(frozen=True)
class LogicalVolume:
    name: str
    group: str
    size_bytes: int
    active: bool


def physical_volumes(runner: Runner) -> list[PhysicalVolume]:
    fields = ("pv_name", "vg_name", "pv_size", "pe_start", "pv_pe_count")
    return [
        PhysicalVolume(row["pv_name"], row["vg_name"], *(int(row[name]) for name in fields[2:]))
        for row in _report(runner, "pvs", "pv", fields)
    ]


def groups(runner: Runner) -> list[Group]:
    fields = ("vg_name", "vg_uuid", "vg_extent_size", "vg_extent_count", "vg_free_count")
    return [
        Group(row["vg_name"], row["vg_uuid"], *(int(row[name]) for name in fields[2:]))
        for row in _report(runner, "vgs", "vg", fields)
    ]


def logical_volumes(runner: Runner) -> list[LogicalVolume]:
    fields = ("lv_name", "vg_name", "lv_size", "lv_active")
    return [
        LogicalVolume(row["lv_name"], row["vg_name"], int(row["lv_size"]), row["lv_active"] == "active")
        for row in _report(runner, "lvs", "lv", fields)
    ]


@dataclass(frozen=True)
class Segment:
    """Extents of a physical volume, in bytes from its start; ``volume`` is empty where they are free."""

    node: str
    start_bytes: int
    size_bytes: int
    group: str
    volume: str


def segments(runner: Runner) -> list[Segment]:
    fields = ("pv_name", "vg_name", "vg_extent_size", "pe_start", "pvseg_start", "pvseg_size", "lv_name")
    found = []
    for row in _report(runner, "pvs", "pvseg", fields, ["--segments"]):
        extent = int(row["vg_extent_size"])
        start = int(row["pe_start"]) + int(row["pvseg_start"]) * extent
        found.append(Segment(row["pv_name"], start, int(row["pvseg_size"]) * extent, row["vg_name"], row["lv_name"]))
    return found


def create_physical_volume(node: str, *, force: bool = False) -> list[str]:
    """The start of the data is fixed, so that every extent lies where it was resolved to be.

    A disk that reports an alignment offset would move the start by it (lvm.conf(5)).
    """
    argv = ["lvm", "pvcreate", "--yes", "--config", "devices/data_alignment_offset_detection=0"]
    argv += ["--dataalignment", f"{PHYSICAL_VOLUME_HEADER}b"]
    if force:
        argv += ["--force", "--force"]
    return [*argv, node]


def create_group(name: str, extent_bytes: int, nodes: Sequence[str]) -> list[str]:
    return ["lvm", "vgcreate", "--yes", "--physicalextentsize", f"{extent_bytes}b", name, *nodes]


def extend_group(name: str, nodes: Sequence[str]) -> list[str]:
    return ["lvm", "vgextend", "--yes", name, *nodes]


def create_volume(group: str, name: str, extents: int, places: Sequence[str] = ()) -> list[str]:
    """``places`` are the extents to take, each ``DEVICE:FIRST-LAST`` (lvcreate(8)); none: any free ones."""
    return [
        "lvm",
        "lvcreate",
        "--yes",
        "--wipesignatures",
        "y",
        "--zero",
        "y",
        "--extents",
        str(extents),
        "--name",
        name,
        group,
        *places,
    ]


def places(devices: Sequence[str], device_extents: Sequence[int], first: int, extents: int) -> list[str]:
    """Return the places of a volume: ``first`` counts through the devices of its group in order."""
    found, base = [], 0
    for device, count in zip(devices, device_extents):
        start, end = max(first, base), min(first + extents, base + count)
        if start < end:
            found.append(f"{device}:{start - base}-{end - base - 1}")
        base += count
    return found


def extend_volume(group: str, name: str, extents: int) -> list[str]:
    return ["lvm", "lvextend", "--extents", str(extents), f"{group}/{name}"]


def remove_volume(group: str, name: str) -> list[str]:
    return ["lvm", "lvremove", "--yes", f"{group}/{name}"]


def remove_group(name: str) -> list[str]:
    return ["lvm", "vgremove", "--yes", "--force", name]


def activate(group: str) -> list[str]:
    return ["lvm", "vgchange", "--activate", "y", group]


def _report(
    runner: Runner, command: str, key: str, fields: Sequence[str], options: Sequence[str] = ()
) -> list[dict[str, Any]]:
    done = runner.run(["lvm", command, *options, *_REPORT, "--options", ",".join(fields)])
    return [row for report in done.json()["report"] for row in report.get(key, [])]
