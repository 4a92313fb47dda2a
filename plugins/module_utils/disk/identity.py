# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds the planned disk again, in another kernel and under another name, or refuses.

A disk is the planned one when nothing that is known of it contradicts the plan and at least one
strong mark agrees. Two such disks, or a second one with marks that should be unique, are doubt,
and doubt is a fault: a wrong disk would be destroyed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..faults import disk as kinds
from ..faults.fault import Fault
from ..runner import Runner
from . import sysfs
from .marks import Marks, marks, normal_serial, normal_wwn
from .nodes import partition_node
from .probe import probe

#: Marks that no two disks share unless one is a copy of the other.
_STRONG = ("serial", "wwn", "table_id", "root_uuid")
#: What stands between a partition and a root file system whose UUID is then not visible.
_STACKED = ("LVM2_member", "crypto_LUKS", "linux_raid_member")


@dataclass(frozen=True)
class Verdict:
    """What speaks for and against one disk, each a mark's name; ``converted`` has the new table."""

    node: str
    agree: tuple[str, ...]
    differ: tuple[str, ...]
    converted: bool = False

    @property
    def matches(self) -> bool:
        return not self.differ and any(one in _STRONG for one in self.agree)

    @property
    def doubtful(self) -> bool:
        return bool(self.differ) and any(one in _STRONG for one in self.agree)

    def __str__(self) -> str:
        parts = [f"{', '.join(self.differ)} differ" if self.differ else ""]
        parts.append(f"{', '.join(self.agree)} agree" if self.agree else "nothing agrees")
        return f"{self.node}: {'; '.join(part for part in parts if part)}"


def find(runner: Runner, planned: Mapping[str, Any], *, new_disk_guid: str = "", root: Path = sysfs.ROOT) -> str:
    """Return the node of the planned disk (the ``disk`` of a plan).

    ``new_disk_guid`` is the disk GUID of the plan's layout: with it, a disk that an earlier try of
    the same run has already converted is recognised too. Raises ``disk.not_found`` or
    ``disk.in_doubt``; both say what was seen.
    """
    verdicts = [judge(runner, marks(name, root), planned, new_disk_guid=new_disk_guid) for name in sysfs.disks(root)]
    wanted = shown(planned)
    good = [one for one in verdicts if one.matches]
    doubtful = [one for one in verdicts if one.doubtful]
    if len(good) == 1 and not doubtful:
        return good[0].node
    if not good and not doubtful:
        raise Fault(kinds.NOT_FOUND, wanted=wanted, seen=_list(verdicts) or "no disk at all")
    if len(good) > 1:
        doubt = f"More than one disk is like it: {_list(good)}."
    elif good:
        doubt = f"{good[0].node} is like it, but another disk shares marks with it: {_list(doubtful)}."
    else:
        doubt = f"A disk has some of its marks, but not all: {_list(doubtful)}."
    raise Fault(kinds.IN_DOUBT, wanted=wanted, doubt=doubt)


def judge(runner: Runner, disk: Marks, planned: Mapping[str, Any], *, new_disk_guid: str = "") -> Verdict:
    """Compare one disk with the plan, mark by mark; a mark unknown on either side says nothing."""
    agree: list[str] = []
    differ: list[str] = []

    def note(mark: str, same: bool) -> None:
        (agree if same else differ).append(mark)

    serial, wwn = normal_serial(planned.get("serial") or ""), normal_wwn(planned.get("wwn") or "")
    if serial and disk.serials:
        note("serial", serial in disk.serials)
    if wwn and disk.wwns:
        note("wwn", wwn in disk.wwns)
    note("size", planned.get("size_bytes") == disk.table.size_bytes)
    if planned.get("sector_bytes"):
        note("sector size", planned["sector_bytes"] == disk.table.sector_bytes)
    converted = bool(new_disk_guid) and disk.table.table_id == new_disk_guid.lower()
    table_id = (planned.get("table_id") or "").lower()
    table_id = table_id[2:] if table_id.startswith("0x") else table_id
    if converted:
        agree.append("table_id")
    elif table_id.strip("0"):
        note("table_id", disk.table.table_id == table_id)
    if planned.get("root_uuid") and not converted:
        _note_root(runner, disk, planned["root_uuid"], agree, differ)
    return Verdict(disk.node, tuple(agree), tuple(differ), converted)


def shown(planned: Mapping[str, Any]) -> str:
    """Return the marks of a plan's disk for a person to read."""
    names = ("serial", "wwn", "size_bytes", "sector_bytes", "table_id", "root_uuid")
    return ", ".join(f"{name} {planned[name]}" for name in names if planned.get(name))


def _note_root(runner: Runner, disk: Marks, uuid: str, agree: list[str], differ: list[str]) -> None:
    found = [probe(runner, partition_node(disk.node, number)) for number in disk.table.numbers]
    if any(one.uuid.lower() == uuid.lower() for one in found):
        agree.append("root_uuid")
    elif not any(one.kind in _STACKED for one in found):
        differ.append("root_uuid")


def _list(verdicts: list[Verdict]) -> str:
    return " | ".join(map(str, verdicts))
