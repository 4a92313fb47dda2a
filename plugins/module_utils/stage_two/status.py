# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stage two is doing: ``status.json`` for the controller, lines for the console.

Replaced in one step, so that a reader never sees half of it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from typing import Any

from ..units import format_size
from .machine import Machine

#: Seconds between two writes of mere progress, and between two looks at the memory.
_PAUSE = 0.5
#: A console line for progress at every so many percent.
_LINE_STEP = 10


class Status:
    """The state of the run; safe to call from several threads."""

    def __init__(self, machine: Machine, run_id: str = "", mode: str = "", plan_digest: str = "") -> None:
        self._machine = machine
        self._path = machine.places.run / "status.json"
        self._lock = threading.Lock()
        self._written = -1.0
        self._line_percent = 0
        self._moved = machine.monotonic()
        self._stop = threading.Event()
        self._sampler: threading.Thread | None = None
        self._fields: dict[str, Any] = {
            "run_id": run_id,
            "mode": mode,
            "state": "running",
            "phase": "",
            "step": "",
            "percent": 0,
            "bytes_done": 0,
            "bytes_total": 0,
            "ram_used_bytes": 0,
            "ram_peak_bytes": 0,
            "resumed": 0,
            "message": "",
            "fault": None,
            "boot_id": machine.boot_id(),
            "updated": 0.0,
            "plan_digest": plan_digest,
        }

    @property
    def ram_peak_bytes(self) -> int:
        return int(self._fields["ram_peak_bytes"])

    @property
    def phase(self) -> str:
        return str(self._fields["phase"])

    def fields(self) -> Mapping[str, Any]:
        with self._lock:
            return dict(self._fields)

    def show(self, message: str = "", **fields: Any) -> None:
        """Change fields, write them at once, and say the message on the console."""
        with self._lock:
            self._moved = self._machine.monotonic()
            self._fields.update(fields, message=message)
            self._sample()
            self._write()
        if message:
            where = ": ".join(part for part in (self.phase, message) if part)
            self._machine.say(f"dualroot: {where}")

    def begin_phase(self, phase: str) -> None:
        self._line_percent = 0
        self.show("begins", phase=phase, step="", percent=0, bytes_done=0, bytes_total=0)

    def begin_step(self, step: str) -> None:
        self.show(step, step=step)

    def end_phase(self) -> None:
        self.show("", percent=100)

    def progress(self, done: int, total: int) -> None:
        """Tell how many bytes of how many a step has behind it; cheap enough to call often."""
        percent = 100 * done // total if total else 0
        with self._lock:
            now = self._machine.monotonic()
            if done != self._fields["bytes_done"]:
                self._moved = now
            self._fields.update(percent=percent, bytes_done=done, bytes_total=total)
            if done < total and now - self._written < _PAUSE:
                return
            self._sample()
            self._write()
            line = percent - percent % _LINE_STEP
            if line <= self._line_percent:
                return
            self._line_percent = line
            used = format_size(self._fields["ram_used_bytes"])
        sizes = f"{format_size(done)} of {format_size(total)}"
        self._machine.say(f"dualroot: {self.phase}: {percent} %, {sizes}, RAM {used}")

    def still_for(self) -> float:
        """Return for how many seconds nothing was begun, counted or said."""
        with self._lock:
            return self._machine.monotonic() - self._moved

    def start_sampling(self) -> None:
        """Watch the memory in the background: the peak must not fall between two steps."""
        self._sampler = threading.Thread(target=self._watch, name="memory-sampler", daemon=True)
        self._sampler.start()

    def stop_sampling(self) -> None:
        self._stop.set()
        if self._sampler is not None:
            self._sampler.join()

    def _watch(self) -> None:
        while not self._stop.wait(_PAUSE):
            with self._lock:
                self._sample()
                # A reader tells a working stage two from a dead one by the age of this.
                if self._machine.monotonic() - self._written >= 2 * _PAUSE:
                    self._write()

    def _sample(self) -> None:
        used = self._machine.memory().used
        self._fields["ram_used_bytes"] = used
        self._fields["ram_peak_bytes"] = max(used, self._fields["ram_peak_bytes"])

    def _write(self) -> None:
        self._written = self._machine.monotonic()
        self._fields["updated"] = round(self._machine.clock(), 3)
        temporary = self._path.with_name("status.json.new")
        temporary.write_text(json.dumps(self._fields, separators=(",", ":")) + "\n")
        os.replace(temporary, self._path)
