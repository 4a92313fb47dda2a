# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A controller that can be killed: a playbook in the background, ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab.guest import MachineError
from tests.lab.playbook import Outcome

from .conftest import Host

POLL_SECONDS = 0.5


class Controller:
    """``ansible-playbook`` for one host; ``outcome`` waits for its end."""

    def __init__(self, host: Host, playbook: str, **variables: Any) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._outcomes: list[Outcome] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(host, playbook, variables))
        self._thread.start()
        self._started.wait(60)

    def _run(self, host: Host, playbook: str, variables: dict[str, Any]) -> None:
        self._outcomes.append(host.play(playbook, started=self._begin, **variables))

    def _begin(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._started.set()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def wait_until(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait for something to happen while the playbook runs; raises ``AssertionError`` where it ends before."""
        end = time.monotonic() + seconds
        while not _surely(done):
            assert self.alive, self.outcome().output[-4000:]
            assert time.monotonic() < end, f"it did not happen within {seconds:.0f} s"
            time.sleep(POLL_SECONDS)

    def kill(self) -> list[int]:
        """Kill the playbook, its workers and their ssh, as a power cut would; return the processes that were hit."""
        assert self._process is not None
        hit: list[int] = []
        family = [self._process.pid]
        # Stopped first, so that none starts another in the meantime.
        while family:
            for process in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGSTOP)
            hit += family
            family = [child for process in family for child in children(process) if child not in hit]
        for process in reversed(hit):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._thread.join(60)
        return hit

    def outcome(self) -> Outcome:
        self._thread.join()
        return self._outcomes[0]


def _surely(done: Callable[[], bool]) -> bool:
    try:
        return done()
    except (MachineError, subprocess.TimeoutExpired, ValueError):
        # The host is between two systems.
        return False


def children(process: int) -> list[int]:
    """Return the child processes of a process (proc(5), stat, field 4)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(path.parent.name))
    return found
