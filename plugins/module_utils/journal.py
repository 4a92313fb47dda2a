# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of a run: one JSON line per event, on the disk before the next step begins.

A line is ``{"time", "phase", "step", "event", "seconds"?, "detail"?}``; ``time`` in seconds since 1970,
``event`` one of ``EVENTS``, ``detail`` text or a mapping and never a secret.

With a lifeboat the lines that a later start of stage two needs are also kept on the disk itself: ``keep``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from .archive.durable import write_all, write_file
from .shape import parse

#: ``resume``: stage two was started again after the machine went down in the middle of it.
EVENTS = ("start", "done", "fail", "skip", "resume")

Detail = Optional[Union[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Entry:
    """One event of a step."""

    time: float
    phase: str
    step: str
    event: str
    seconds: float | None = None
    detail: Detail = None

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "time": round(self.time, 3),
            "phase": self.phase,
            "step": self.step,
            "event": self.event,
        }
        if self.seconds is not None:
            document["seconds"] = round(self.seconds, 3)
        if self.detail is not None:
            document["detail"] = self.detail
        return document


class Journal:
    """Appends to one file; ``entries`` are those of earlier runs and of this one."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self.entries = list(read(path))
        #: Keeps a line where a power cut does not reach it; raises a fault where it cannot.
        self.keep: Callable[[Entry], None] | None = None

    def add(
        self,
        phase: str,
        step: str,
        event: str,
        seconds: float | None = None,
        detail: Detail = None,
        *,
        keep: bool = False,
    ) -> None:
        """Append an event and bring it to the disk; with ``keep`` also to where it outlives this start."""
        if event not in EVENTS:
            raise ValueError(f"not an event: {event}")
        entry = Entry(self._clock(), phase, step, event, seconds, detail)
        line = json.dumps(entry.to_document(), separators=(",", ":")).encode() + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            write_all(handle, memoryview(line))
            os.fsync(handle)
        finally:
            os.close(handle)
        self.entries.append(entry)
        if keep and self.keep is not None:
            self.keep(entry)

    def put_before(self, older: Sequence[Entry]) -> None:
        """Put the events of earlier starts before those of this one."""
        entries = [*older, *self.entries]
        lines = (json.dumps(entry.to_document(), separators=(",", ":")) + "\n" for entry in entries)
        write_file(self.path, "".join(lines).encode())
        self.entries = entries


def read(path: Path) -> tuple[Entry, ...]:
    """Return the entries of a journal, none if it is not there.

    A line that a power cut tore is passed over: its step counts as not done.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    return tuple(entry for entry in map(_entry, lines) if entry is not None)


def _entry(line: bytes) -> Entry | None:
    try:
        return from_document(parse(line))
    except ValueError:
        return None


def from_document(document: Mapping[str, Any]) -> Entry | None:
    """Return the entry that a document describes, ``None`` where it is none."""
    try:
        seconds = document.get("seconds")
        return Entry(
            time=float(document["time"]),
            phase=str(document["phase"]),
            step=str(document["step"]),
            event=str(document["event"]),
            seconds=None if seconds is None else float(seconds),
            detail=document.get("detail"),
        )
    except (ValueError, KeyError, TypeError, OverflowError, AttributeError):
        return None


def finished(entries: Iterable[Entry]) -> frozenset[tuple[str, str]]:
    """Return the steps ``(phase, step)`` whose last event says that they are done."""
    last = {(entry.phase, entry.step): entry.event for entry in entries}
    return frozenset(step for step, event in last.items() if event in ("done", "skip"))


def last_finished(entries: Sequence[Entry]) -> tuple[str, str] | None:
    """Return the step that was finished last."""
    for entry in reversed(entries):
        if entry.event in ("done", "skip"):
            return entry.phase, entry.step
    return None


def timings(entries: Iterable[Entry], order: Sequence[str]) -> list[dict[str, Any]]:
    """Return ``[{"name", "started", "seconds"}]`` of the phases that began, in the given order.

    A phase lasts from its first event to its last; where it was entered again after a cut, the stays
    are added up, and the time in between belongs to none.
    """
    started: dict[str, float] = {}
    seconds: dict[str, float] = {}
    last: Entry | None = None
    for entry in entries:
        started.setdefault(entry.phase, entry.time)
        stayed = last is not None and last.phase == entry.phase and entry.event != "resume"
        passed = entry.time - last.time if last is not None and stayed else 0.0
        seconds[entry.phase] = seconds.get(entry.phase, 0.0) + passed
        last = entry
    return [
        {"name": name, "started": round(started[name], 3), "seconds": round(seconds[name], 3)}
        for name in order
        if name in started
    ]


def resumes(entries: Iterable[Entry]) -> int:
    """Return how often stage two was started again."""
    return sum(entry.event == "resume" for entry in entries)


def resumes_without_progress(entries: Iterable[Entry]) -> int:
    """Return how often stage two was started again since it last finished a step."""
    count = 0
    for entry in entries:
        if entry.event == "done":
            count = 0
        elif entry.event == "resume":
            count += 1
    return count
