# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The slots of a running dual-system host: which one runs, what the state says, and changing it.

The dispatch file system is mounted read-only; it is writable only for the one sector that changes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..faults import boot as kinds
from ..faults.fault import Fault
from ..runner import Runner
from . import mounts, outcome, records, slot_state
from .slot_state import SlotState

DISPATCH = Path("/boot/dispatch")
COMMAND_LINE = Path("/proc/cmdline")


@dataclass(frozen=True)
class Wish:
    """What is to be changed; empty fields stay as they are. ``next`` is a slot, ``r`` or ``none``.

    ``event`` and ``reason`` are told as an outcome of the slot, for ``run_id`` or the run that installed it.
    """

    slot: str = ""
    state: str = ""
    tries: int = slot_state.MAX_TRIES
    next: str = ""
    force: bool = False
    initialize: bool = False
    event: str = ""
    reason: str = ""
    run_id: str = ""


def running(command_line: Path = COMMAND_LINE) -> dict[str, str]:
    """Return ``slot``, ``run_id`` and ``mode`` of the system that runs, from its kernel arguments."""
    words = command_line.read_text("utf-8", "replace").split()
    pairs = {name: value for name, _equals, value in (word.partition("=") for word in words)}
    return {
        "slot": pairs.get("dualroot.slot", ""),
        "run_id": pairs.get("dualroot.run", ""),
        "mode": pairs.get("dualroot.mode", ""),
    }


def describe(state: SlotState) -> dict[str, Any]:
    """Return a state as modules show it."""
    return {
        "order": list(state.order),
        "slots": dict(state.slots),
        "tries": state.tries,
        "next": state.next,
        "generation": state.generation,
    }


def information(mount: Path = DISPATCH, command_line: Path = COMMAND_LINE) -> dict[str, Any]:
    """Return all that is known; raises ``Fault`` ``boot.not_mounted`` or ``boot.state_lost``."""
    check_mounted(mount)
    reading = slot_state.read(mount)
    state = reading.state
    now = running(command_line)
    preferred = state.order[0]
    return {
        **describe(state),
        "running": now["slot"],
        "run_id": now["run_id"],
        "boots_next": state.next or state.choice(),
        # A slot is being tried, and another system came up: its tries are used up or it cannot be loaded.
        "fell_back": bool(now["slot"] or now["mode"])
        and state.state_of(preferred) == "trying"
        and now["slot"] != preferred,
        "copies": [{"name": copy.name, "damage": copy.damage} for copy in reading.copies],
    }


def change(state: SlotState, wish: Wish) -> SlotState:
    """Return the state after the wish; raises ``Fault`` ``boot.last_slot``."""
    after = state
    if wish.state == "good":
        after = slot_state.mark_good(after, wish.slot)
    elif wish.state == "trying":
        after = slot_state.mark_trying(after, wish.slot, wish.tries)
    elif wish.state == "bad":
        after = slot_state.mark_bad(after, wish.slot)
    elif wish.state == "empty":
        after = slot_state.mark_empty(after, wish.slot)
    if wish.next:
        after = slot_state.boot_next(after, "" if wish.next == "none" else wish.next)
    lost = after.choice() == slot_state.RECOVERY and state.choice() != slot_state.RECOVERY
    if lost and not wish.force:
        raise Fault(kinds.LAST_SLOT, slot=wish.slot, state=wish.state)
    return after


def mark(runner: Runner, wish: Wish, mount: Path = DISPATCH, dry: bool = False) -> tuple[SlotState | None, SlotState]:
    """Change the slot state and tell the outcome; return the state before (None if it was lost) and after.

    Writes nothing where nothing changes and the outcome is what was told last, or when ``dry``; a damaged copy is
    mended by any write. Raises ``Fault`` of the area boot.
    """
    check_mounted(mount)
    with slot_state.locked(mount):
        before: SlotState | None = None
        try:
            reading = slot_state.read(mount)
            before, mended = reading.state, bool(reading.damaged)
        except Fault as fault:
            if fault.kind is not kinds.STATE_LOST or not wish.initialize:
                raise
            mended = True
        after = change(before or slot_state.initial(slot_state.SLOTS), wish)
        run_id = _run_of(wish, mount)
        silent = not wish.event or records.is_told(mount, wish.slot, run_id, wish.event)
        if after == before and not mended and silent:
            return before, after
        if dry:
            return before, replace(after, generation=after.generation + 1)
        with writable(runner, mount):
            written = slot_state.write(mount, after)
            if wish.state == "trying":
                outcome.note_tries(mount, wish.slot, wish.tries)
            if not silent:
                records.tell(mount, wish.slot, run_id, wish.event, wish.reason)
            return before, written


def _run_of(wish: Wish, mount: Path) -> str:
    """Return the run that an outcome is told of: the given one, or the one that installed the slot."""
    known = records.read_slots(mount)
    return wish.run_id or (known[wish.slot].run_id if wish.slot in known else "")


def check_mounted(mount: Path) -> None:
    """Raise ``Fault`` ``boot.not_mounted`` unless a file system is mounted at ``mount``."""
    found = mounts.find(mount)
    if found is None or Path(found.target) != mount:
        raise Fault(kinds.NOT_MOUNTED, mount=mount)


@contextlib.contextmanager
def writable(runner: Runner, mount: Path) -> Iterator[None]:
    """Let ``mount`` be written to inside; a read-only one is read-only again afterwards, always."""
    found = mounts.find(mount)
    if found is None or not mounts.is_read_only(found):
        yield
        return
    runner.run(["mount", "-o", "remount,rw", str(mount)])
    try:
        yield
    finally:
        # The remount also writes the journal back, so that GRUB sees everything.
        done = runner.run(["mount", "-o", "remount,ro", str(mount)], accept=range(256))
        if done.returncode != 0:
            raise Fault(kinds.REMOUNT, mount=mount, problem=done.error_text.strip())
