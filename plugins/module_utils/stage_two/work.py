# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of stage two: its documents, and how a step is made, tried again, and given up."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..faults import stage_two as kinds
from ..faults.fault import Fault
from ..journal import Journal, finished
from . import mounting
from .machine import Machine
from .parts import Parts
from .places import Places
from .status import Status

if TYPE_CHECKING:
    from ..layout.model import ResolvedLayout
    from ..lifeboat.model import Lifeboat

Value = TypeVar("Value")

#: How often a step is tried after the point of no return before a person is asked, and the pause
#: between, in seconds: a device that comes back after a bus reset needs about that long.
TRIES = 3
PAUSE = 5.0
#: Seconds between two tries to become reachable for the person who is waited for.
REACH_PAUSE = 60.0
#: Seconds after which a start from the lifeboat looks for its disk again by itself: a controller may come back,
#: and nothing was written in that phase.
LOOK_AGAIN = 300.0
#: Seconds after which a start that nobody has helped begins again from the lifeboat: time for a person to log in.
PATIENCE = 900.0
#: Kinds of errors whose text is about names and files, never about the content of a document.
_TELLING = (OSError, KeyError, AttributeError, TypeError, ImportError)


class Stopped(Exception):
    """A step failed before the point of no return; ``record`` is its fault's."""

    def __init__(self, record: Mapping[str, str]) -> None:
        self.record = dict(record)
        super().__init__(record["id"])


class BeginsAgain(Exception):
    """The machine restarts after the point of no return, and the lifeboat starts."""


class Work:
    """What every phase gets: machine, parts, documents, and ``step``."""

    def __init__(
        self,
        machine: Machine,
        parts: Parts,
        status: Status,
        journal: Journal,
        plan: Mapping[str, Any],
        capture: Mapping[str, Any],
        resolved: ResolvedLayout,
        lifeboat: Lifeboat | None = None,
    ) -> None:
        self.machine = machine
        self.parts = parts
        self.status = status
        self.journal = journal
        self.plan = plan
        self.capture = capture
        self.resolved = resolved
        #: Kernel, initrd, payload and journal on the disk itself; without one, the payload is in memory.
        self.lifeboat = lifeboat
        #: What of being reachable did not work and was left out; tried again while a person is waited for.
        self.unreachable: dict[str, Callable[[], None]] = {}
        #: Raises ``BeginsAgain`` where a restart leads back to this step; none where there is no lifeboat.
        self.begin_again: Callable[[], None] | None = None
        #: The disk's node, known from ``attach`` on.
        self.node = ""
        self._done = finished(journal.entries)

    @property
    def places(self) -> Places:
        return self.machine.places

    @property
    def past_return(self) -> bool:
        return self.machine.places.past_return.exists()

    @property
    def dispatch(self) -> Path:
        """Where the dispatch partition is mounted below the new root."""
        mount = self.resolved.file_system(self.resolved.dispatch).mount
        return self.machine.places.inside(self.machine.places.new, mount)

    @property
    def resumed(self) -> bool:
        """Tell whether this start of the machine came from the lifeboat, after a cut."""
        return self.machine.arguments().get("dualroot.resume") == "1"

    @property
    def kept_partitions(self) -> tuple[str, ...]:
        """Return the partition UUIDs that the old and the new table share: the ESP of a UEFI host."""
        esp = self.plan.get("esp")
        return (str(esp["partuuid"]),) if esp else ()

    @property
    def kept_places(self) -> tuple[int, ...]:
        """Return the bytes of the disk at which partitions begin that stay until commit: the old root."""
        return tuple(part.start_lba * self.resolved.sector_bytes for part in self.resolved.until_commit)

    def take_up(self) -> None:
        """Believe the journal anew, after the events of earlier starts were put into it."""
        self._done = finished(self.journal.entries)

    def begun(self, step: str) -> bool:
        """Tell whether this step of the current phase was begun before and not finished: it may be half made."""
        events = [entry.event for entry in self.journal.entries if (entry.phase, entry.step) == (self.phase, step)]
        return bool(events) and not self.is_done(step)

    @property
    def phase(self) -> str:
        return self.status.phase

    def is_done(self, step: str) -> bool:
        """Tell whether an earlier start of the program finished this step of the current phase."""
        return (self.status.phase, step) in self._done

    def step(self, name: str, action: Callable[[], Value], *, always: bool = False) -> Value | None:
        """Make one step; ``always`` also where an earlier start of the program finished it.

        Raises ``Stopped`` before the point of no return. After it, the step is tried again, and the
        machine is held for a person where that does not help; it never gives up. Raises ``BeginsAgain`` where
        nobody came and a restart is safe.
        """
        phase = self.status.phase
        if not always and self.is_done(name):
            self.journal.add(phase, name, "skip", detail="done before")
            return None
        self.status.begin_step(name)
        attempt = 0
        while True:
            attempt += 1
            started = self.machine.monotonic()
            try:
                self.journal.add(phase, name, "start", keep=not always)
                value = action()
                self._flush()
                self.journal.add(phase, name, "done", self.machine.monotonic() - started, keep=not always)
            except Exception as error:
                record = fault_record(error, phase)
                self._note_failure(name, self.machine.monotonic() - started, record)
                self._tell(record, error)
                if not self.past_return:
                    raise Stopped(record) from error
                if attempt % TRIES == 0:
                    self._wait_for_help(record)
                else:
                    self.machine.sleep(PAUSE)
                continue
            if attempt > 1:
                self.status.show("works now", fault=None)
            return value

    def is_attended_to(self) -> bool:
        """Tell whether somebody works on the machine: at a terminal over SSH, or by having left ``hold``."""
        terminals = self.machine.places.root / "dev/pts"
        there = terminals.is_dir() and any(path.name.isdigit() for path in terminals.iterdir())
        return there or (self.machine.places.run / "hold").exists()

    def _wait_for_help(self, record: Mapping[str, str]) -> None:
        """Hold until somebody asks; without help look again in ``attach``, or begin again from the lifeboat."""
        if self.phase == "attach":
            if not self.hold(record, LOOK_AGAIN):
                self.status.show("looks again", state="running", fault=None)
            return
        if self.begin_again is None:
            self.hold(record)
            return
        minutes = f"{PATIENCE / 60:.0f} minutes"
        self.machine.say(f"dualroot: in {minutes} the lifeboat starts again, unless: touch {self.places.run / 'hold'}")
        while not self.hold(record, PATIENCE):
            if not self.is_attended_to():
                self.begin_again()

    def _flush(self) -> None:
        """Bring what a step wrote to the disk before the journal there calls it done."""
        if self.lifeboat is not None and self.past_return and self.node:
            self.parts.flush(self.node, mounting.below(self.machine, self.machine.places.new))

    def _note_failure(self, name: str, seconds: float, record: Mapping[str, str]) -> None:
        # A disk that takes no note of it must not hide the fault itself.
        with contextlib.suppress(Fault):
            self.journal.add(self.phase, name, "fail", seconds, record, keep=True)

    def skip(self, name: str, why: str) -> None:
        """Note that a step is not made, and why."""
        self.journal.add(self.status.phase, name, "skip", detail=why)
        self.status.show(f"{name}: left out, {why}", step=name)

    def hold(self, record: Mapping[str, str], again: float = 0.0) -> bool:
        """Wait with SSH up until a person or the controller asks for another try, or ``again`` seconds are over.

        Return whether somebody asked.
        """
        retry = self.machine.places.run / "retry"
        self.status.show(f"waits for a person: {record['what']}", state="holding", fault=dict(record))
        self.machine.say(f"dualroot: mend it, then: touch {retry}")
        end = self.machine.monotonic() + again
        while not self.machine.wait_for(retry, REACH_PAUSE, pause=1.0):
            self._reach()
            if again and self.machine.monotonic() >= end:
                return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(retry)
        self.status.show("tries again", state="running", fault=None)
        return True

    def _reach(self) -> None:
        for name, action in list(self.unreachable.items()):
            try:
                action()
            except Exception as error:
                self.status.show(f"no {name} yet ({type(error).__name__})")
            else:
                del self.unreachable[name]
                self.status.show(f"{name} works now")

    def _tell(self, record: Mapping[str, str], error: Exception) -> None:
        self.status.show(f"{record['id']}: {record['what']}", fault=dict(record))
        if record["id"] == kinds.INTERNAL.id:
            for frame in traceback.extract_tb(error.__traceback__):
                self.machine.say(f"dualroot:   {frame.filename}:{frame.lineno} {frame.name}")
        else:
            self.machine.say(f"dualroot:   why: {record['why']}")


def fault_record(error: Exception, phase: str) -> dict[str, str]:
    """Return the record of a fault, of this phase; any other exception becomes ``stage_two.internal``."""
    if not isinstance(error, Fault):
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
        name = type(error).__name__
        # The text of other errors may quote what they could not read, and that may be a secret.
        text = f"{name}: {error}" if isinstance(error, _TELLING) else name
        error = Fault(kinds.INTERNAL, place=place, error=text)
    return {**error.record(), "phase": phase or error.kind.phase}
