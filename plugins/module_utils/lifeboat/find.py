# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finds the disk of a lifeboat again when stage two is started from it after a cut.

The partition table is no mark then: it may be the old one, the new one, or torn. The header of the
journal, at the place that the lifeboat's description tells, names run and plan, and nothing rewrites it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..disk.marks import marks, normal_serial, normal_wwn
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from . import log
from .model import Lifeboat


def find(lifeboat: Lifeboat, planned: Mapping[str, Any], root: Path = sysfs.ROOT) -> str:
    """Return the node of the one disk that carries a lifeboat; ``planned`` is the ``disk`` of the plan.

    Two disks with the same journal are copies of each other, one of them made while the run was under way;
    then serial number and world-wide name decide. Raises ``Fault`` ``lifeboat.not_found``.
    """
    seen = sysfs.disks(root)
    carrying = [name for name in seen if _carries(name, lifeboat, root)]
    if len(carrying) > 1:
        carrying = [name for name in carrying if _is_planned(name, planned, root)] or carrying
    if len(carrying) == 1:
        return sysfs.node_of(carrying[0])
    nodes = ", ".join(sysfs.node_of(name) for name in carrying or seen)
    problem = f"more than one disk carries it: {nodes}" if carrying else f"not on any of {nodes or 'no disk at all'}"
    raise Fault(kinds.NOT_FOUND, run_id=lifeboat.run_id, problem=problem)


def _carries(name: str, lifeboat: Lifeboat, root: Path) -> bool:
    if sysfs.size_bytes(name, root) != lifeboat.disk_bytes:
        return False
    try:
        header = log.read_header(root / sysfs.node_of(name).lstrip("/"), lifeboat.part("journal"))
    except OSError:
        return False
    return header is not None and (header.run_id, header.plan_digest) == (lifeboat.run_id, lifeboat.plan_digest)


def _is_planned(name: str, planned: Mapping[str, Any], root: Path) -> bool:
    try:
        found = marks(name, root)
    except Fault:
        return False
    serial, wwn = normal_serial(planned.get("serial") or ""), normal_wwn(planned.get("wwn") or "")
    return bool(serial and serial in found.serials) or bool(wwn and wwn in found.wwns)
