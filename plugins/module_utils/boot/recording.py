# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written to the records when a slot is installed, and when something happens to it.

Callers have the dispatch file system mounted writable, but for ``tell``, which sees to that itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..runner import Runner
from . import records, slots, titles
from .records import SlotRecord


def of_plan(plan: Mapping[str, Any], root: Path, content_sha256: str = "") -> SlotRecord:
    """Return the record of the slot that a plan installs below ``root``."""
    return SlotRecord(
        slot=str(plan["slot"]),
        kind="bundle",
        name=str(plan["bundle"]["name"]),
        version=str(plan["bundle"]["version"]),
        layout=str(plan["layout"]["name"]),
        run_id=str(plan["run_id"]),
        installed=records.now(),
        payload_sha256=str(plan["payload"]["sha256"]),
        content_sha256=content_sha256,
        title=titles.of_system(root),
    )


def write(mount: Path, root: Path, plan: Mapping[str, Any], content_sha256: str = "") -> None:
    """Write the record of the slot that ``plan`` installs, the host's layout, and the titles of the menu."""
    record, before = of_plan(plan, root, content_sha256), records.read_slots(mount).get(str(plan["slot"]))
    if before is not None and before.run_id == record.run_id:
        # The same installation, taken up again after a cut.
        record = replace(record, installed=before.installed)
    records.write_slot(mount, record)
    records.install_layout(mount, plan["layout"])
    titles.write(mount)


def tell(runner: Runner, mount: Path, slot: str, run_id: str, event: str, reason: str = "") -> bool:
    """As ``records.tell``, on a running host; return whether it was written. Raises ``Fault`` of the area boot."""
    slots.check_mounted(mount)
    if records.is_told(mount, slot, run_id, event):
        return False
    with slots.writable(runner, mount):
        records.tell(mount, slot, run_id, event, reason)
    return True
