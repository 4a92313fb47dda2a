# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``/etc/ansible/facts.d/dualroot.fact``: what a host says of itself to Ansible, and to anyone who asks.

A part is written once, when the slot is installed (which bundle, which run); the rest is what the dispatch file system
says now, and is written again at each start and at each change, here or by ``dualroot-slot fact``, byte by byte the
same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import shape
from ..archive.durable import write_file
from ..faults.fault import Fault
from . import records, slot_state

PATH = "etc/ansible/facts.d/dualroot.fact"
#: What is written once; ``committed`` is there since ``commit`` only.
KEPT = ("bundle_name", "bundle_version", "committed", "layout", "run_id", "slot")


def base(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a plan says of the slot that it installs."""
    return {
        "slot": str(plan["slot"]),
        "run_id": str(plan["run_id"]),
        "layout": str(plan["layout"]["name"]),
        "bundle_name": str(plan["bundle"]["name"]),
        "bundle_version": str(plan["bundle"]["version"]),
    }


def document(kept: Mapping[str, Any], mount: Path) -> dict[str, Any]:
    """Return the whole fact; where the slot state cannot be read, only what was written once."""
    wanted = {name: kept[name] for name in KEPT if name in kept}
    try:
        state = slot_state.read(mount).state
    except Fault:
        return wanted
    known = records.read_slots(mount)
    slots = {}
    for slot in slot_state.SLOTS:
        record = known.get(slot)
        slots[slot] = {
            "state": state.state_of(slot),
            "name": record.name if record else "",
            "version": record.version if record else "",
            "run_id": record.run_id if record else "",
        }
    return {**wanted, "slots": slots, "tries": state.tries, "boots_next": state.next or state.choice()}


def dump(fact: Mapping[str, Any]) -> str:
    """Return the text of the file."""
    return json.dumps(fact, indent=2, sort_keys=True) + "\n"


def write(root: Path, fact: Mapping[str, Any]) -> None:
    """Write the fact below ``root``."""
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, dump(fact).encode("ascii"))


def refresh(root: Path, mount: Path) -> bool:
    """Bring the fact up to what ``mount`` says now; return whether it changed. A system without one gets none.

    The caller holds ``slot_state.locked(mount)``: the start of the system writes the same file, under the same lock.
    """
    path = root / PATH
    try:
        before = path.read_bytes()
        kept = shape.parse(before)
    except (OSError, ValueError):
        return False
    if not isinstance(kept, dict):
        return False
    wanted = document(kept, mount)
    if dump(wanted).encode("ascii") == before:
        return False
    write(root, wanted)
    return True
