# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The slot state file: which slot boots, and how often it may still be tried.

GRUB and Linux share it as an environment block of 1024 bytes on the plain ``dispatch`` file system,
in two copies. All variables lie in the first 512 bytes and are replaced by one synchronous write of
one sector into blocks that were allocated once: GRUB replays no journal, so anything else may be
invisible to it after a power cut, or may undo what it wrote.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..archive.durable import write_file
from ..faults import boot as kinds
from ..faults.fault import Fault

SLOTS = ("a", "b")
#: The recovery system: no slot, but a valid ``next``.
RECOVERY = "r"
STATES = ("good", "trying", "bad", "empty")
#: How often a new slot is tried; the dispatcher counts 3, 2, 1, 0 and knows no other number.
MAX_TRIES = 3

FILE_NAMES = ("state", "state.copy")
BLOCK_BYTES = 1024
SECTOR_BYTES = 512
FORMAT = "1"
_HEADER = b"# GRUB Environment Block\n"


class Damaged(ValueError):
    """A copy that must not be believed; its text says what is wrong with it."""


@dataclass(frozen=True)
class SlotState:
    """``order`` is the wish, first slot first; ``next`` is booted once and then forgotten.

    ``generation`` grows with each write by Linux and tells which copy is newer; GRUB, which cannot
    count, leaves it alone.
    """

    order: tuple[str, ...]
    slots: Mapping[str, str]
    tries: int = 0
    next: str = ""
    generation: int = 0

    def state_of(self, slot: str) -> str:
        return self.slots.get(slot, "empty")

    def choice(self) -> str:
        """Return what the dispatcher boots next, ``next`` left aside: a slot, or ``r``."""
        for slot in self.order:
            state = self.state_of(slot)
            if state == "good" or (state == "trying" and 1 <= self.tries <= MAX_TRIES):
                return slot
        return RECOVERY


@dataclass(frozen=True)
class Copy:
    """One copy as found: its state, or what is wrong with it."""

    name: str
    state: SlotState | None = None
    damage: str = ""


@dataclass(frozen=True)
class Reading:
    """Both copies and the one that counts."""

    state: SlotState
    copies: tuple[Copy, ...] = field(default=())

    @property
    def damaged(self) -> tuple[Copy, ...]:
        return tuple(copy for copy in self.copies if copy.damage)


def initial(order: tuple[str, ...]) -> SlotState:
    """Return the state of a host whose slots hold nothing yet."""
    return SlotState(order=order, slots=dict.fromkeys(SLOTS, "empty"))


def mark_trying(state: SlotState, slot: str, tries: int = MAX_TRIES) -> SlotState:
    """The slot is complete but unproven: it is preferred, for ``tries`` boots."""
    if not 1 <= tries <= MAX_TRIES:
        raise ValueError(f"tries is a whole number from 1 to {MAX_TRIES}: {tries}")
    return replace(_marked(_preferred(state, slot), slot, "trying"), tries=tries)


def mark_good(state: SlotState, slot: str) -> SlotState:
    """The slot is proven and preferred; no tries are counted any more."""
    return replace(_marked(_preferred(state, slot), slot, "good"), tries=0)


def mark_bad(state: SlotState, slot: str) -> SlotState:
    """The slot is not to be booted: it failed, or it is about to be written."""
    tries = 0 if state.state_of(slot) == "trying" else state.tries
    return replace(_marked(state, slot, "bad"), tries=tries)


def mark_empty(state: SlotState, slot: str) -> SlotState:
    """The slot holds nothing."""
    return replace(mark_bad(state, slot), slots={**state.slots, slot: "empty"})


def boot_next(state: SlotState, target: str) -> SlotState:
    """Boot ``target`` (a slot, ``r``, or nothing for "as usual") once, whatever its state."""
    if target and target != RECOVERY:
        _known(target)
    return replace(state, next=target)


def serialize(state: SlotState) -> bytes:
    """Return the block; raises ``ValueError`` where the variables do not fit into one sector."""
    values = {
        "dr_version": FORMAT,
        "dr_generation": str(state.generation),
        "dr_order": " ".join(state.order),
        **{f"dr_{slot}": state.state_of(slot) for slot in SLOTS},
        "dr_tries": str(state.tries),
        "dr_next": state.next,
    }
    text = _HEADER + "".join(f"{name}={value}\n" for name, value in values.items()).encode("ascii")
    if len(text) > SECTOR_BYTES:
        raise ValueError(f"the slot state takes {len(text)} bytes, more than one sector")
    return text.ljust(BLOCK_BYTES, b"#")


def parse(block: bytes) -> SlotState:
    """Read one copy; raises ``Damaged`` with the reason.

    A number of tries that is no number counts as none, as it does for the dispatcher.
    """
    if len(block) != BLOCK_BYTES:
        raise Damaged(f"it has {len(block)} bytes instead of {BLOCK_BYTES}")
    values = _variables(block)
    if values.get("dr_version") != FORMAT:
        raise Damaged(f"dr_version: its format is {values.get('dr_version', '')!r} instead of {FORMAT!r}")
    order = tuple(values.get("dr_order", "").split())
    if not order or len(set(order)) != len(order) or not set(order) <= set(SLOTS):
        raise Damaged(f"dr_order: its order of slots is {' '.join(order)!r}")
    slots = {slot: values.get(f"dr_{slot}", "empty") for slot in SLOTS}
    for slot, state in slots.items():
        if state not in STATES:
            raise Damaged(f"dr_{slot}: slot {slot} has the unknown state {state!r}")
    following = values.get("dr_next", "")
    return SlotState(
        order=order,
        slots=slots,
        tries=_number(values.get("dr_tries", "")),
        next=following if following in (*SLOTS, RECOVERY) else "",
        generation=_number(values.get("dr_generation", "")),
    )


def read(mount: Path) -> Reading:
    """Read both copies below ``mount``; the newer good one counts, the first of two equals.

    Raises ``Fault`` ``boot.state_lost`` where neither is good.
    """
    copies = tuple(_read_copy(mount / name) for name in FILE_NAMES)
    good = [copy.state for copy in copies if copy.state is not None]
    if not good:
        raise Fault(
            kinds.STATE_LOST,
            mount=mount,
            problems="; ".join(f"{copy.name}: {copy.damage}" for copy in copies),
        )
    # max() keeps the first of equals: the first copy, which GRUB and Linux write first.
    return Reading(max(good, key=lambda state: state.generation), copies)


def write(mount: Path, state: SlotState) -> SlotState:
    """Write both copies, the first one first, and read them back; return the state as written.

    Missing or misshapen copies are made anew. Raises ``Fault`` ``boot.state_unwritable``.
    """
    written = replace(state, generation=_highest_generation(mount, state) + 1)
    block = serialize(written)
    for name in FILE_NAMES:
        path = mount / name
        try:
            _write_block(path, block)
            found = path.read_bytes()
        except OSError as error:
            raise Fault(kinds.STATE_UNWRITABLE, path=path, problem=error) from error
        if found != block:
            raise Fault(kinds.STATE_UNWRITABLE, path=path, problem="it reads back different")
    return written


@contextlib.contextmanager
def locked(mount: Path) -> Iterator[None]:
    """Keep other writers on this system out; the lock is on the folder, which every mount has."""
    handle = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write_block(path: Path, block: bytes) -> None:
    if not path.is_file() or path.stat().st_size != BLOCK_BYTES:
        write_file(path, block)
        return
    handle = os.open(path, os.O_WRONLY | os.O_DSYNC)
    try:
        # The second sector is padding since the file was made; a copy whose padding is damaged is
        # written whole, all others by their one sector.
        damaged = path.read_bytes()[SECTOR_BYTES:] != block[SECTOR_BYTES:]
        os.pwrite(handle, block if damaged else block[:SECTOR_BYTES], 0)
    finally:
        os.close(handle)


def _read_copy(path: Path) -> Copy:
    try:
        return Copy(path.name, parse(path.read_bytes()))
    except Damaged as damage:
        return Copy(path.name, damage=str(damage))
    except OSError as error:
        return Copy(path.name, damage=error.strerror or str(error))


def _highest_generation(mount: Path, state: SlotState) -> int:
    found = (copy.state for copy in (_read_copy(mount / name) for name in FILE_NAMES))
    return max([state.generation, *(one.generation for one in found if one is not None)])


def _variables(block: bytes) -> dict[str, str]:
    if not block.startswith(_HEADER):
        raise Damaged("it does not begin as a GRUB environment block")
    values = {}
    for line in block.split(b"\n")[1:]:
        if line.startswith(b"#"):
            continue
        name, equals, value = line.partition(b"=")
        if not equals and line:
            raise Damaged("it holds a line that is no variable")
        try:
            values[name.decode("ascii")] = value.decode("ascii")
        except UnicodeDecodeError as error:
            raise Damaged("it holds bytes that are no text") from error
    return values


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _preferred(state: SlotState, slot: str) -> SlotState:
    return replace(state, order=(slot, *(other for other in state.order if other != slot)))


def _marked(state: SlotState, slot: str, name: str) -> SlotState:
    _known(slot)
    return replace(state, slots={**state.slots, slot: name})


def _known(slot: str) -> None:
    if slot not in SLOTS:
        raise ValueError(f"not a slot: {slot!r}")
