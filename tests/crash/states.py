# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a power cut can leave of a recording: which states there are, and making one of them.

The model is that of a disk with a volatile cache: every write before the last flush is there; of those
behind it any may be missing, and the one under way may be there in part, by whole sectors.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import recorder
from .write_log import Entry, WriteLog, last_flush

#: prefix: the first writes, in order. dropped: some of the un-flushed ones are lost. torn: the last is in part.
KINDS = ("prefix", "dropped", "torn")
_EVENT = re.compile(rb'"event":"(\w+)"')
_PHASE = re.compile(rb'"phase":"(\w+)"')
_STEP = re.compile(rb'"step":"(\w+)"')
_JOURNAL_MAGIC = b"DRJOURN1"
#: Both headers, both entry arrays and all that may lie between them, and the backup at the end.
_TABLE_BYTES = 1 << 20


@dataclass(frozen=True)
class Point:
    """The cut comes before entry ``at`` of the log is done."""

    at: int
    kind: str
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.at}-{self.kind}" + (f"-{self.seed}" if self.kind != "prefix" else "")


@dataclass(frozen=True)
class Applied:
    """The writes of a state: how many are there, how many of the un-flushed are lost, and the torn one's sectors."""

    there: int
    lost: int
    torn_sectors: int


def chosen(log: WriteLog, point: Point, sector_bytes: int = 512) -> tuple[list[tuple[Entry, int]], Applied]:
    """Return the writes of a state with how many bytes of each are there."""
    entries = log.entries
    chance = random.Random(f"{point.at}/{point.seed}")
    flushed = last_flush(entries, point.at)
    found, lost, torn = [], 0, 0
    for index, entry in enumerate(entries[: point.at]):
        if entry.kind != "write":
            continue
        drops = point.kind == "dropped" and index >= flushed and not entry.durable
        if drops and chance.random() < 0.5:
            lost += 1
        else:
            found.append((entry, entry.length))
    if point.kind == "torn":
        entry = entries[point.at]
        torn = chance.randrange(1, max(2, entry.length // sector_bytes))
        found.append((entry, torn * sector_bytes))
    return found, Applied(len(found), lost, torn)


def make(base: Path, log: WriteLog, point: Point, target: Path, sector_bytes: int = 512) -> Applied:
    """Write the state of a point into ``target``."""
    recorder.copy_image(base, target)
    writes, applied = chosen(log, point, sector_bytes)
    handle = os.open(target, os.O_WRONLY)
    try:
        for entry, length in writes:
            os.pwrite(handle, log.data(entry)[:length], entry.offset)
    finally:
        os.close(handle)
    return applied


def missing(log: WriteLog, point: Point, state: Path) -> str:
    """Return the first thing that the undisturbed run wrote and the state has not; empty where nothing differs."""
    handle = os.open(state, os.O_RDONLY)
    try:
        for index in range(last_flush(log.entries, point.at), len(log.entries)):
            entry = log.entries[index]
            if entry.kind == "write" and os.pread(handle, entry.length, entry.offset) != log.data(entry):
                return f"write {index} of {len(log.entries)} at byte {entry.offset}"
    finally:
        os.close(handle)
    return ""


def steps_by_journal(log: WriteLog, areas: Sequence[tuple[int, int]], marks: Sequence[tuple[int, str]]) -> list[str]:
    """Return of every entry the step during which it was made.

    ``areas`` are the extents (start, length) of the lifeboat's journal: its records are among the writes. Where
    there is none yet, the lines of the console (``marks``) tell, less exactly.
    """
    by_console = _by_console(len(log.entries), marks)
    found, current = [], ""
    for index, entry in enumerate(log.entries):
        record = _record(log, entry, areas)
        if record:
            current = record
        found.append(current or by_console[index])
    return found


def _record(log: WriteLog, entry: Entry, areas: Sequence[tuple[int, int]]) -> str:
    inside = any(start <= entry.offset < start + length for start, length in areas)
    if entry.kind != "write" or not inside or entry.length > 65536:
        return ""
    data = log.data(entry)
    phase, step = _PHASE.search(data), _STEP.search(data)
    if not data.startswith(_JOURNAL_MAGIC) or phase is None or step is None:
        return ""
    return f"{phase[1].decode()}.{step[1].decode()}"


def _by_console(count: int, marks: Sequence[tuple[int, str]]) -> list[str]:
    found = ["start"] * count
    for position, line in marks:
        shown = re.match(r"dualroot: (\w+): (\w+)\b", line)
        if shown and shown[2] not in ("begins", "would"):
            found[position:] = [f"{shown[1]}.{shown[2]}"] * (count - position)
        elif "convert environment" in line:
            found[position:] = ["attach.start"] * (count - position)
    return found


def last_record(log: WriteLog, point: Point, areas: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Return the last record of the journal that a state has: phase, step and event."""
    found: dict[str, str] = {}
    for entry, length in chosen(log, point)[0]:
        if length == entry.length and _record(log, entry, areas):
            data = log.data(entry)
            parts = {"phase": _PHASE.search(data), "step": _STEP.search(data), "event": _EVENT.search(data)}
            found = {name: match[1].decode() for name, match in parts.items() if match}
    return found


def points(log: WriteLog, steps: Sequence[str], seed: int, wanted: int, disk_bytes: int) -> list[Point]:
    """Return about ``wanted`` states, spread over all steps, close together where one sector decides.

    All of them at the first write of a step and at every write of boot sector and partition table, the others
    at writes chosen by ``seed``.
    """
    chance = random.Random(seed)
    by_step: dict[str, list[int]] = {}
    for index, entry in enumerate(log.entries):
        if entry.kind == "write":
            by_step.setdefault(steps[index], []).append(index)
    first = []
    for indexes in by_step.values():
        first += [indexes[0], indexes[-1]]
    table = [index for index, entry in enumerate(log.entries) if is_table(entry, disk_bytes)]
    sure = sorted({*first, *table, *(index + 1 for index in table if index + 1 < len(log.entries))})
    found = [_point(log, index, chance) for index in sure]
    while len(found) < wanted and by_step:
        for indexes in by_step.values():
            found.append(_point(log, chance.choice(indexes), chance))
    unique = list(dict.fromkeys(found))
    chance.shuffle(unique)
    return unique[:wanted]


def anywhere(log: WriteLog, seed: int, wanted: int) -> list[Point]:
    """Return up to ``wanted`` states at writes drawn alike, as a power cut falls: most in the steps that write most."""
    chance = random.Random(seed)
    indexes = [index for index, entry in enumerate(log.entries) if entry.kind == "write"]
    return [_point(log, index, chance) for index in chance.sample(indexes, min(wanted, len(indexes)))]


def of_step(log: WriteLog, steps: Sequence[str], step: str, seed: int) -> list[Point]:
    """Return for every write of a step the plain cut before it, and one that loses or tears what it may."""
    chance = random.Random(seed)
    found = []
    for index, entry in enumerate(log.entries):
        if entry.kind == "write" and steps[index] == step:
            found += [Point(index, "prefix"), _point(log, index, chance)]
    return list(dict.fromkeys(found))


def is_table(entry: Entry, disk_bytes: int) -> bool:
    """Tell whether a write may touch the boot sector or one of the two partition tables."""
    near = entry.offset < 68 * 512 or entry.offset >= disk_bytes - _TABLE_BYTES
    return entry.kind == "write" and near


def _point(log: WriteLog, index: int, chance: random.Random) -> Point:
    entry = log.entries[index]
    kinds = ["prefix"]
    if any(one.kind == "write" for one in log.entries[last_flush(log.entries, index) : index]):
        kinds.append("dropped")
    if entry.kind == "write" and entry.length > 512:
        kinds.append("torn")
    kind = chance.choice(kinds)
    return Point(index, kind, 0 if kind == "prefix" else chance.randrange(1000))


def describe(point: Point, applied: Applied) -> dict[str, Any]:
    """Return what a result says of the state."""
    return {"writes": applied.there, "lost": applied.lost, "torn_sectors": applied.torn_sectors}
