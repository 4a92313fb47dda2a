# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far an update is, for whoever looks, and what memory it took."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: Read without being root; holds no secret.
STATUS = Path("/run/dualroot/update.json")
#: Seconds between two lines of progress, and between two looks at the memory.
_INTERVAL = 1.0


class Progress:
    """Writes the status file; ``phases`` are ``{name, started, seconds}`` of what is done."""

    def __init__(self, run_id: str, path: Path = STATUS, clock: Callable[[], float] = time.time) -> None:
        self.phases: list[dict[str, Any]] = []
        self._run_id = run_id
        self._path = path
        self._clock = clock
        self._phase = ""
        self._step = ""
        self._last = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time inside as one phase, also where it fails."""
        began = self._clock()
        self._phase = name
        self.step(name)
        try:
            yield
        finally:
            spent = round(self._clock() - began, 3)
            self.phases.append({"name": name, "started": round(began, 3), "seconds": spent})

    def step(self, text: str) -> None:
        """Say what is done now."""
        self._step = text
        self._show(0, 0)

    def bytes(self, done: int, total: int) -> None:
        """Say how far the step is, in bytes; shown once in a while."""
        now = time.monotonic()
        if done < total and now - self._last < _INTERVAL:
            return
        self._last = now
        self._show(done, total)

    def _show(self, done: int, total: int) -> None:
        document = {
            "run_id": self._run_id,
            "phase": self._phase,
            "step": self._step,
            "percent": min(100, done * 100 // total) if total else 0,
            "bytes": done,
            "total": total,
        }
        # Only for people: a full /run does not end an update.
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            temporary = self._path.with_name(self._path.name + ".new")
            temporary.write_text(json.dumps(document) + "\n", "ascii")
            temporary.chmod(0o644)
            temporary.replace(self._path)


class Memory:
    """Looks at the resident memory of this process and its children once in a while; ``peak`` in bytes."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.peak = 0
        self._proc = proc
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="update-memory", daemon=True)

    def __enter__(self) -> Memory:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Take a look now."""
        own = os.getpid()
        total = self._resident(own) + sum(self._resident(one) for one in self._children(own))
        self.peak = max(self.peak, total)

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL / 4):
            self.look()

    def _children(self, parent: int) -> Iterator[int]:
        """Yield the processes started by this one, theirs included (proc(5): children of each thread)."""
        with suppress(OSError):
            for thread in (self._proc / str(parent) / "task").iterdir():
                for word in (thread / "children").read_text("ascii").split():
                    yield int(word)
                    yield from self._children(int(word))

    def _resident(self, process: int) -> int:
        """Return the resident bytes of a process, 0 where it is gone; shared libraries count in each."""
        with suppress(OSError, ValueError, IndexError):
            for line in (self._proc / str(process) / "status").read_text("ascii", "replace").splitlines():
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0
