# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records on the dispatch file system: what each slot holds, and what happened to it.

They outlive both slots, and every system of the host reads them: ``slots/a.json`` and ``slots/b.json`` (one slot
each), ``outcomes.jsonl`` (one line for each thing that happened, the newest last) and ``layout.json`` (the resolved
layout of the host). None of them decides what is booted, that is the slot state alone; so a damaged record is left
out and never a fault.

``dualroot-slot`` reads and writes them with sh and sed, so their form is fixed: a slot record has one key a line, an
outcome one line with its keys in the order of ``Outcome``, and no text holds a quote or a backslash.

Callers that write hold ``slots.writable``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from .. import shape
from ..archive.durable import sync_directory, write_file
from .slot_state import SLOTS

FOLDER = "slots"
OUTCOMES = "outcomes.jsonl"
LAYOUT = "layout.json"

#: A bundle of this project, or the old system of the host, kept until ``commit``.
KINDS = ("bundle", "old")
EVENTS = ("installed", "good", "bad", "fell_back", "rolled_back", "restarted", "removed", "made", "restored")
OUTCOMES_KEPT = 200
#: Characters of a reason: it is one line of a table, the logs have the rest.
REASON_LENGTH = 300


@dataclass(frozen=True)
class SlotRecord:
    """What a slot holds.

    ``installed`` is a time as ``now`` gives it; the digests are SHA-256 in hexadecimal, of the archive and of the
    files as read back from the slot; ``title`` is what the boot menu says beside name and version.
    """

    slot: str
    kind: str
    name: str
    version: str
    layout: str
    run_id: str
    installed: str
    payload_sha256: str = ""
    content_sha256: str = ""
    title: str = ""


@dataclass(frozen=True)
class Outcome:
    """One thing that happened to a slot; ``event`` is one of ``EVENTS``, ``reason`` is for people and may be empty."""

    time: str
    slot: str
    run_id: str
    event: str
    reason: str


Record = TypeVar("Record", SlotRecord, Outcome)


def now() -> str:
    """Return the time of this moment, UTC to the second, as ``2026-01-31T12:00:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def read_slots(mount: Path) -> dict[str, SlotRecord]:
    """Return the record of every slot that has one; those that are damaged are left out."""
    found = {}
    for slot in SLOTS:
        record = _record(SlotRecord, _read(mount / FOLDER / f"{slot}.json"))
        if record is not None and record.slot == slot and record.kind in KINDS:
            found[slot] = record
    return found


def write_slot(mount: Path, record: SlotRecord) -> None:
    """Replace the record of a slot; raises ``ValueError`` for a slot or kind that does not exist, and ``OSError``."""
    _known(record.slot, SLOTS)
    _known(record.kind, KINDS)
    folder = mount / FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    text = json.dumps(_safe(record), indent=1)
    write_file(folder / f"{record.slot}.json", text.encode("ascii") + b"\n")
    sync_directory(mount)


def remove_slot(mount: Path, slot: str) -> None:
    """Forget what a slot holds; one without a record is left as it is."""
    _known(slot, SLOTS)
    path = mount / FOLDER / f"{slot}.json"
    if path.exists():
        path.unlink()
        sync_directory(path.parent)


def add_outcome(mount: Path, outcome: Outcome) -> None:
    """Add a line; only the last ``OUTCOMES_KEPT`` are kept. Raises ``ValueError`` for an event that does not exist."""
    _known(outcome.slot, SLOTS)
    _known(outcome.event, EVENTS)
    kept = [*_lines(mount), json.dumps(_safe(outcome))][-OUTCOMES_KEPT:]
    write_file(mount / OUTCOMES, "".join(f"{line}\n" for line in kept).encode("ascii", "replace"))


def read_outcomes(mount: Path) -> list[Outcome]:
    """Return what happened, the oldest first; damaged lines are left out."""
    found = (_record(Outcome, _parse(line)) for line in _lines(mount))
    return [outcome for outcome in found if outcome is not None and outcome.event in EVENTS]


def last_outcome(mount: Path, slot: str) -> Outcome | None:
    """Return the last thing that happened to the slot, ``None`` where nothing is known."""
    return next((one for one in reversed(read_outcomes(mount)) if one.slot == slot), None)


def is_told(mount: Path, slot: str, run_id: str, event: str) -> bool:
    """Tell whether the last thing that happened to the slot is this one, so that nothing is told twice."""
    last = last_outcome(mount, slot)
    return last is not None and (last.run_id, last.event) == (run_id, event)


def tell(mount: Path, slot: str, run_id: str, event: str, reason: str = "") -> None:
    """Add what happened now, unless it is what was told of the slot last."""
    if not is_told(mount, slot, run_id, event):
        add_outcome(mount, Outcome(now(), slot, run_id, event, reason))


def install_layout(mount: Path, document: Mapping[str, Any]) -> None:
    """Keep the resolved layout of the host (``plan["layout"]``)."""
    text = json.dumps(document, indent=1, sort_keys=True)
    write_file(mount / LAYOUT, text.encode("ascii") + b"\n")


def layout(mount: Path) -> dict[str, Any]:
    """Return the resolved layout of the host; empty where it is missing or damaged."""
    found = _read(mount / LAYOUT)
    return found if isinstance(found, dict) else {}


def plain(text: str, length: int = REASON_LENGTH) -> str:
    """Return a text as records hold it: one line of printable ASCII without quotes and backslashes."""
    words = " ".join(text.split()).replace('"', "'").replace("\\", "/")
    return "".join(one if " " <= one <= "~" else "?" for one in words)[:length]


def _safe(record: SlotRecord | Outcome) -> dict[str, str]:
    return {name: plain(value) for name, value in asdict(record).items()}


def _known(value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{value!r} is none of {', '.join(choices)}")


def _lines(mount: Path) -> list[str]:
    try:
        text = (mount / OUTCOMES).read_text("ascii", "replace")
    except OSError:
        return []
    return [line for line in text.split("\n") if line]


def _read(path: Path) -> Any:
    try:
        return _parse(path.read_bytes())
    except OSError:
        return None


def _parse(raw: bytes | str) -> Any:
    try:
        return shape.parse(raw)
    except ValueError:
        return None


def _record(kind: type[Record], document: Any) -> Record | None:
    """Return a record of texts; keys that it does not know are left out: a newer release may have written it."""
    if not isinstance(document, dict):
        return None
    names = [one.name for one in fields(kind)]
    values = {name: document[name] for name in names if name in document}
    if not all(isinstance(value, str) for value in values.values()):
        return None
    try:
        return kind(**values)
    except TypeError:
        return None
