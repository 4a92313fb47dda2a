# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system as the good slot of the new one's trial: offered by stage two, forgotten at ``commit``.

It takes the name of the slot that is not installed yet. It gets no order and no tries: it is what the
dispatcher falls back to, started by its own kernel with its own arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..runner import Runner
from . import dispatcher, records, slot_state, slots, titles
from .records import SlotRecord
from .settle import settle

GRUB_CONFIG = Path("grub/grub.cfg")


def slot_of(plan: Mapping[str, Any]) -> str:
    """Return the slot that the old system has until ``commit``."""
    return next(slot for slot in slot_state.SLOTS if slot != plan["slot"])


def offer(mount: Path, plan: Mapping[str, Any]) -> None:
    """Let the dispatcher fall back to the old system; ``mount`` is writable. The state comes last: it counts."""
    slot = slot_of(plan)
    record = SlotRecord(
        slot=slot,
        kind="old",
        name="old system",
        version="",
        layout="",
        run_id=str(plan["run_id"]),
        installed=records.now(),
        title=str(plan["keep_old"]["title"]),
    )
    records.write_slot(mount, record)
    titles.write(mount)
    state = slot_state.read(mount).state
    slot_state.write(mount, replace(state, slots={**state.slots, slot: "good"}))
    settle(mount)


@dataclass(frozen=True)
class Forgetting:
    """What is to be done so that the old system is no slot any more."""

    slot: str
    marked: bool
    offered: bool

    @property
    def changes(self) -> bool:
        return self.marked or self.offered


def look(mount: Path, plan: Mapping[str, Any]) -> Forgetting:
    """Return what of the old system the dispatcher still knows; raises ``Fault`` of the area boot."""
    slot = slot_of(plan)
    if not plan.get("keep_old"):
        return Forgetting(slot, False, False)
    slots.check_mounted(mount)
    record = records.read_slots(mount).get(slot)
    is_old = record is not None and record.kind == "old" and record.run_id == plan["run_id"]
    marked = is_old and slot_state.read(mount).state.state_of(slot) != "empty"
    path = mount / GRUB_CONFIG
    known = path.is_file() and path.read_text("ascii", "replace") == dispatcher.render(plan)
    return Forgetting(slot, marked, is_old or known)


def forget(runner: Runner, found: Forgetting, mount: Path, plan: Mapping[str, Any]) -> None:
    """Take the old system out of the slots, its state first, so that no cut leaves half of it bootable.

    The slot that took over is good by then: raises ``Fault`` ``boot.last_slot`` where it is not.
    """
    if found.marked:
        slots.mark(runner, slots.Wish(slot=found.slot, state="empty"), mount)
    if not found.offered:
        return
    with slot_state.locked(mount), slots.writable(runner, mount):
        write_file(mount / GRUB_CONFIG, dispatcher.render(plan, with_old=False).encode("ascii"))
        records.remove_slot(mount, found.slot)
        titles.write(mount)
        records.tell(mount, found.slot, str(plan["run_id"]), "removed", "the new system was committed")
