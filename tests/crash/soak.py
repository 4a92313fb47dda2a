# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The long matrix: makes the states of every combination, starts them, and keeps one line per state.

A state that is in the results already is passed over, so that a run goes on where the last one ended.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state

from . import evaluate, filesystems, recorder, states
from .prepare import Prepared, Recording, again
from .states import Point

#: Accepted ends by who has control and whether the one-shot is still to come (BIOS).
EXPECTED = {
    "old": ("OLD",),
    "armed": ("RESUME",),
    "return": ("OLD", "RESUME"),
    "lifeboat": ("RESUME",),
    "hand-over": ("RESUME", "NEW"),
    "new": ("NEW",),
    # The control, without a lifeboat: nothing has control any more. At its first writes the old system may still start.
    "unprotected": ("BRICK", "OLD"),
}
#: Machines at once, for two processors: each waits a quarter of its time, for a controller that never comes.
JOBS = 3
_BEFORE = ("start", "stage", "attach", "load", "await")


@dataclass(frozen=True)
class Case:
    """One state to be started; ``variables`` is ``kept`` or ``wiped`` (UEFI: the battery was empty)."""

    recording: Recording
    point: Point
    variables: str = "kept"

    def key(self, prepared: Prepared) -> str:
        combo = prepared.target.combo.name
        return f"{combo}/{prepared.engine}/{self.recording.name}/{self.point.name}/{self.variables}"


class Results:
    """Lines of JSON; safe to be used by several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        lines = path.read_text().splitlines() if path.exists() else []
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in lines if line]
        self._known = {line["key"] for line in self.lines}

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def add(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._known.add(line["key"])
            self.lines.append(line)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(json.dumps(line, sort_keys=True) + "\n")


def cases(prepared: Prepared, seed: int, wanted: int, staging: int | None = None, step: str = "") -> list[Case]:
    """Return the states of a combination, of both stages among each other: a run that is ended early has seen both.

    ``staging`` of them are of stage one; a quarter where it is not given. With ``step`` it is every write of that.
    """
    staging = wanted // 4 if staging is None else staging
    found = []
    for recording in prepared.recordings.values():
        if step:
            chosen = states.of_step(recording.log, recording.steps, step, seed)
        else:
            chosen = _points(prepared, recording, seed, wanted - staging, staging)
        for number, point in enumerate(chosen):
            wiped = prepared.target.combo.firmware == "uefi" and number % 4 == 3
            if wiped or recording.is_sure(point.at):
                found.append(Case(recording, point, "wiped" if wiped else "kept"))
    random.Random(seed).shuffle(found)
    return found


def _points(prepared: Prepared, recording: Recording, seed: int, wanted: int, staging: int) -> list[Point]:
    """Of stage two, two thirds that see every step, and a third that falls anywhere."""
    disk = prepared.target.layout.disk_bytes
    if recording.name == "stage-one":
        found = states.points(recording.log, recording.steps, seed, staging, disk)
        return list(dict.fromkeys(_without_torn_superblock(prepared, recording, point) for point in found))
    chosen = states.points(recording.log, recording.steps, seed, wanted - wanted // 3, disk)
    return list(dict.fromkeys([*chosen, *states.anywhere(recording.log, seed, wanted // 3)]))


def _without_torn_superblock(prepared: Prepared, recording: Recording, point: Point) -> Point:
    """Let a write of the old ext4's superblock be there or not, but not in part.

    Its checksum covers two sectors, and without it nothing mounts the file system, not even to replay its journal.
    Every host with ext4 has that risk at a power cut, for whatever it was that wrote to the file system.
    """
    entry, superblock = recording.log.entries[point.at], prepared.target.root.start + 1024
    covers = entry.offset <= superblock < entry.offset + entry.length
    is_torn = point.kind == "torn" and prepared.target.combo.fstype == "ext4" and covers
    return Point(point.at, "prefix") if is_torn else point


def second_cuts(prepared: Prepared, seed: int, wanted: int) -> Iterator[Case]:
    """Yield states of a second cut in the step in which the first one came."""
    first = prepared.recordings["stage-two"]
    disk = prepared.target.layout.disk_bytes
    every = states.points(first.log, first.steps, seed + 1, 400, disk)
    phases = ("partition", "volumes", "restore", "configure", "boot")
    cut = [one for one in every if first.steps[one.at].split(".")[0] in phases and one.kind != "torn"]
    for at in cut[: max(1, wanted // 2)]:
        recording = again(prepared, at)
        chosen = states.points(recording.log, recording.steps, seed, 400, disk)
        inside = [point for point in chosen if recording.steps[point.at] == first.steps[at.at]]
        for point in inside[:2]:
            yield Case(recording, point)


def run_case(prepared: Prepared, case: Case, scratch: Path) -> dict[str, Any]:
    """Make a state, start it, and return its line."""
    combo, log = prepared.target.combo, case.recording.log
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        image = folder / "state.img"
        applied = states.make(case.recording.base, log, case.point, image, combo.sector_bytes)
        lacks = states.missing(log, case.point, image)
        step = case.recording.steps[case.point.at]
        moment = _moment(prepared, image, step, folder / "mount", wiped=case.variables == "wiped")
        if case.variables == "wiped":
            variables: Path | None = recorder.fresh_variables(folder / "wiped")
        else:
            variables = evaluate.with_variables(case.recording.variables_at(case.point.at), folder / "kept")
        outcome = evaluate.evaluate(prepared.target, image, variables, folder / "mount")
    allowed = EXPECTED[moment]
    return {
        "key": case.key(prepared),
        "combo": combo.name,
        "engine": prepared.engine,
        "recording": case.recording.name,
        "log": log.digest(),
        "point": case.point.name,
        "seed": case.point.seed,
        "step": step,
        "moment": moment,
        "variables": case.variables,
        "class": outcome.kind,
        "expected": list(allowed),
        "ok": outcome.kind in allowed,
        "starts": outcome.starts,
        "seconds": round(outcome.seconds, 1),
        "problem": outcome.problem,
        "proof": {
            **states.describe(case.point, applied),
            "lacks": lacks,
            "journal": states.last_record(log, case.point, prepared.journal),
        },
        "tail": [] if outcome.kind in allowed else outcome.text.splitlines()[-25:],
    }


def _moment(prepared: Prepared, image: Path, step: str, mount: Path, *, wiped: bool) -> str:
    """Return who has control in a state, read from the state itself where that is possible."""
    combo, phase = prepared.target.combo, step.split(".")[0]
    if combo.firmware == "bios":
        found = evaluate.control(image, *prepared.boot_sectors)
        before, after = (sector[:440] for sector in prepared.boot_sectors)
        if found == "old" and before == after and phase not in _BEFORE and step != "partition.no_return":
            # The old GRUB lay where the new one lies: the same boot code, and only the time tells whose it is.
            found = "new"
        if found != "old":
            return "new" if combo.lifeboat == "none" else found
        if combo.lifeboat == "none" and phase not in _BEFORE:
            return "unprotected"
    elif step == "partition.no_return" or (wiped and step == "partition.firmware"):
        # Without its entries the firmware starts the removable-media path, which is taken a step later. The old system
        # is whole until then: the table comes next.
        return "return"
    elif phase not in _BEFORE:
        return "hand-over" if step == "seal.switch" else "lifeboat"
    return "armed" if evaluate.is_armed(combo, prepared.target.root, image, mount) else "old"


def run_all(
    found: Iterator[tuple[Prepared, Case]], results: Results, scratch: Path, jobs: int, until: float
) -> Iterator[dict[str, Any]]:
    """Start the states that are not in the results yet, until the time is over; yield their lines as they come.

    Raises the first error of the harness itself, when all machines that run have ended.
    """
    taking = threading.Lock()
    lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
    stop = threading.Event()

    def work() -> None:
        try:
            while time.monotonic() < until and not stop.is_set():
                with taking:
                    item = next(found, None)
                if item is None:
                    return
                prepared, case = item
                if case.key(prepared) not in results:
                    line = run_case(prepared, case, scratch)
                    results.add(line)
                    lines.put(line)
        except BaseException:
            stop.set()
            raise
        finally:
            lines.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(work) for _number in range(jobs)]
        running = jobs
        while running:
            line = lines.get()
            if line is None:
                running -= 1
            else:
                yield line
        for future in futures:
            future.result()


@contextlib.contextmanager
def scratch_folder(work: Path) -> Iterator[Path]:
    folder = work / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def cut_boots(prepared: Prepared, scratch: Path, cuts: int, seed: int) -> dict[str, Any]:
    """Cut ``cuts`` boots of a good slot in a row, each at a random moment, and start once more."""
    combo, chance = prepared.target.combo, random.Random(seed)
    image = scratch / "boots.img"
    recorder.copy_image(prepared.folder / "final.img", image)
    mark_good(prepared, image, scratch / "mount")
    variables = evaluate.with_variables(prepared.last_variables, scratch / "boots")
    moments = [round(chance.uniform(0.1, 4.0), 2) for _number in range(cuts)]
    ends = [recorder.start(combo, image, moment, variables).end for moment in moments]
    outcome = evaluate.evaluate(prepared.target, image, variables, scratch / "mount")
    image.unlink()
    return {
        "combo": combo.name,
        "cuts": cuts,
        "class": outcome.kind,
        "problem": outcome.problem,
        "proof": f"cut after {', '.join(map(str, moments))} s; {ends.count('silent')} before the system ran",
    }


def mark_good(prepared: Prepared, image: Path, mount: Path) -> None:
    """Do to the slot state what ``commit`` does, by the engine's own code."""
    layout = prepared.target.layout
    part = layout.partition(layout.dispatch)
    start, size = part.start_lba * layout.sector_bytes, part.sectors * layout.sector_bytes
    where = filesystems.loop(image, start, size, layout.sector_bytes)
    with where as device, filesystems.mounted(device, mount, "ext4") as dispatch:
        state = slot_state.read(dispatch).state
        slot_state.write(dispatch, slot_state.mark_good(state, prepared.target.slot))
