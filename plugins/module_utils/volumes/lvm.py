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


def create_physical_volume(node: str, *, force: bool = False) -> list[str]:
    """The start of the data is fixed, so that the number of extents is what was resolved."""
    argv = ["lvm", "pvcreate", "--yes", "--dataalignment", f"{PHYSICAL_VOLUME_HEADER}b"]
    if force:
        argv += ["--force", "--force"]
    return [*argv, node]


def create_group(name: str, extent_bytes: int, nodes: Sequence[str]) -> list[str]:
    return ["lvm", "vgcreate", "--yes", "--physicalextentsize", f"{extent_bytes}b", name, *nodes]


def extend_group(name: str, nodes: Sequence[str]) -> list[str]:
    return ["lvm", "vgextend", "--yes", name, *nodes]


def create_volume(group: str, name: str, extents: int) -> list[str]:
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
    ]


def extend_volume(group: str, name: str, extents: int) -> list[str]:
    return ["lvm", "lvextend", "--extents", str(extents), f"{group}/{name}"]


def remove_volume(group: str, name: str) -> list[str]:
    return ["lvm", "lvremove", "--yes", f"{group}/{name}"]


def remove_group(name: str) -> list[str]:
    return ["lvm", "vgremove", "--yes", "--force", name]


def activate(group: str) -> list[str]:
    return ["lvm", "vgchange", "--activate", "y", group]


def _report(runner: Runner, command: str, key: str, fields: Sequence[str]) -> list[dict[str, Any]]:
    done = runner.run(["lvm", command, *_REPORT, "--options", ",".join(fields)])
    return [row for report in done.json()["report"] for row in report.get(key, [])]
