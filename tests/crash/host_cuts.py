# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power cuts of what is done to a whole host that has slots: the states of a log of its writes, and their ends.

A state is judged on the disk (who starts, are the files of the slot that ran what they were, is another slot that
may start complete), and then by starting it until it lets its user in. ``update`` and ``commit`` make the logs.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import readings, table
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout

from tests.lab.cache import cache_folder
from tests.lab.converted import HOST
from tests.lab.guest import MachineError
from tests.lab.hardware import WRITES, Options
from tests.lab.image import Image
from tests.lab.machine import Machine, end_on_signal
from tests.vm import slots

from . import filesystems, states
from .soak import Results
from .states import Point
from .write_log import Entry, WriteLog, entries_so_far, last_flush

RESULTS = Path(__file__).parent / "results/updates.jsonl"
SSH_SECONDS = 600.0
#: Longer than a sample may take, so that a slow machine is told from a hang.
SAMPLE_SECONDS = 4 * 3600.0
Line = dict[str, Any]
_BLOCK = b"# GRUB Environment Block\n"


#: What is cut, and the slot that runs before it.
RAN = {"update": "a", "rollback": "b", "first start": "a", "commit": "a"}


class NotRecorded(Exception):
    """The undisturbed run failed: there is nothing to cut then."""


@dataclass(frozen=True)
class Recorded:
    """``parts`` are the first and the last entry of each part; ``image`` is the disk before all of them.

    ``wanted`` says of a slot what a file may be when the slot is whole, once for each time at which it was. With
    ``trial`` the slot that runs is on trial and has no other beside it, and the table may change too. ``finish``
    does what is left on a host that was started after its cut, and returns what went wrong.
    """

    folder: Path
    image: Image
    layout: ResolvedLayout
    log: WriteLog
    parts: dict[str, tuple[int, int]]
    wanted: dict[str, list[dict[str, str]]]
    trial: bool = False
    finish: Callable[[Machine], str] = lambda machine: ""

    def region(self, entry: Entry) -> str:
        """Return which part of the disk a write goes to; ``elsewhere`` is where nobody has to write."""
        return next(
            (name for name, (start, size) in _regions(self.layout).items() if start <= entry.offset < start + size),
            "elsewhere",
        )


def _regions(layout: ResolvedLayout) -> dict[str, tuple[int, int]]:
    found = {name: slots.place(layout, name) for name in ("dispatch", *layout.slots)}
    roots = {slot.root for slot in layout.slots.values()}
    for group in layout.volume_groups:
        start = layout.partition(group.partitions[0]).start_lba * layout.sector_bytes + slots.MIB
        for volume in group.volumes:
            if volume.id not in roots:
                found[volume.id] = (start + volume.first * group.extent_bytes, volume.bytes)
    return found


def position(machine: Machine) -> int:
    """Return how many entries the log of a machine has, with everything that it wrote so far."""
    machine.ssh("sudo sync")
    # The log's own count is written with each entry, so this is exact as long as the host is quiet.
    return entries_so_far(machine.folder / WRITES)


def load(folder: Path, image: Image, **more: Any) -> Recorded:
    """Read what a recording has left in its folder."""
    layout = ResolvedLayout.from_document(json.loads((folder / "plan.json").read_text())["layout"])
    parts = {name: (first, last) for name, (first, last) in json.loads((folder / "parts.json").read_text()).items()}
    path = folder / "wanted.json"
    wanted = json.loads(path.read_text()) if path.exists() else {}
    return Recorded(folder, image, layout, WriteLog(folder / HOST / WRITES), parts, wanted, **more)


def keep(recorded: Recorded, moments: dict[str, Sequence[int]]) -> None:
    """Read what each slot holds at the entries of ``moments``, and with that the recording is complete."""
    found: dict[str, list[dict[str, str]]] = {}
    for slot, entries in moments.items():
        for at in entries:
            state = recorded.folder / "wanted.img"
            states.make(recorded.image.disk, recorded.log, Point(at, "prefix"), state)
            found.setdefault(slot, []).append(content(recorded.layout, slot, state, recorded.folder / "mount"))
            state.unlink()
            if len(found[slot][-1]) < 1000:
                raise NotRecorded(f"slot {slot} is not there at entry {at}")
    (recorded.folder / "wanted.json").write_text(json.dumps(found))
    (recorded.folder / "ready").write_text("")


def control_writes(log: WriteLog, first: int, last: int) -> list[int]:
    """Return the entries that write a copy of the slot state."""
    found = []
    for index, entry in enumerate(log.entries[first:last], first):
        small = entry.kind == "write" and entry.length <= 4096
        if small and log.data(entry).startswith(_BLOCK) and b"\ndr_order=" in log.data(entry):
            found.append(index)
    return found


def state_in(log: WriteLog, index: int, slot: str) -> str:
    """Return what a write of the slot state says of a slot."""
    found = re.search(rf"\ndr_{slot}=(\w+)\n".encode(), log.data(log.entries[index]))
    return found[1].decode() if found else ""


def content(layout: ResolvedLayout, slot: str, image: Path, at: Path) -> dict[str, str]:
    """Return what a slot holds after a start would have replayed its journal; ``image`` is changed by that."""
    start, size = slots.place(layout, slot)
    with filesystems.loop(image, start, size) as device:
        filesystems.accepting((0, 1), "e2fsck", "-p", device)
        with filesystems.mounted(device, at, "ext4", "ro") as root:
            return filesystems.describe(root, lambda path: path.startswith(slots.OF_THE_HOST))


def points(recorded: Recorded, part: str, seed: int, wanted: int) -> list[Point]:
    """Return about ``wanted`` states: around every write of slot state and table, and spread over the disk's parts."""
    log, (first, last) = recorded.log, recorded.parts[part]
    chance = random.Random(f"{seed}/{part}")
    control = control_writes(log, first, last)
    found = []
    for index in control:
        # The model has a sector written as a whole or not at all, and so the state is.
        found += [Point(index, "prefix"), Point(index + 1, "prefix")]
        if last_flush(log.entries, index) < index:
            found.append(Point(index, "dropped", chance.randrange(1000)))
    for index in range(first, last):
        if states.is_table(log.entries[index], recorded.layout.disk_bytes):
            found += [Point(index, "prefix"), Point(index + 1, "prefix")]
            if log.entries[index].length > 512:
                found.append(Point(index, "torn", chance.randrange(1000)))
    by_region: dict[str, list[int]] = {}
    for index in range(first, last):
        if log.entries[index].kind == "write":
            by_region.setdefault(recorded.region(log.entries[index]), []).append(index)
    others: list[Point] = []
    while by_region and len(others) < wanted:
        for indexes in by_region.values():
            index = chance.choice(indexes)
            kinds = ["prefix", "dropped"] + (["torn"] if log.entries[index].length > 512 else [])
            kind = chance.choice(kinds)
            others.append(Point(index, kind, 0 if kind == "prefix" else chance.randrange(1000)))
    chance.shuffle(found)
    # Half and half, so that a small sample has some of both.
    mixed = [one for pair in zip(found, others) for one in pair] + found[len(others) :] + others[len(found) :]
    return list(dict.fromkeys(mixed))[:wanted]


def judge(recorded: Recorded, part: str, point: Point, scratch: Path, start: bool) -> dict[str, Any]:
    """Make a state, look at its disk, start it where ``start`` says so, and return its line."""
    began = time.monotonic()
    before = RAN[part]
    other = "b" if before == "a" else "a"
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        disk = folder / "disk.raw"
        applied = states.make(recorded.image.disk, recorded.log, point, disk)
        lacks = states.missing(recorded.log, point, disk)
        state, problem = _state(recorded, disk, folder / "mount")
        choice = state.next or state.choice() if state else ""
        if state and not problem:
            whole = {before, *(slot for slot in (other,) if state.state_of(slot) in ("good", "trying"))}
            allowed = ("good", "trying") if recorded.trial else ("good",)
            if state.state_of(before) not in allowed or (recorded.trial and choice != before):
                problem = f"slot {before}, which ran, is {state.state_of(before)}, and {choice} starts next"
            problem = problem or _table(recorded, disk)
            # The start first, on an overlay: it has to do with the disk as the cut left it.
            problem = problem or (_started(recorded, folder, choice) if start else "")
            problem = problem or _contents(recorded, disk, whole, folder / "mount")
    kind = "BRICK" if problem else "KEPT" if choice == before else "NEW"
    expected = ["KEPT"] if state and state.state_of(other) in ("bad", "empty") else ["KEPT", "NEW"]
    entry = recorded.log.entries[min(point.at, len(recorded.log.entries) - 1)]
    return {
        "key": key(recorded, part, point, start),
        "part": part,
        "recording": recorded.log.digest(),
        "point": point.name,
        "seed": point.seed,
        "region": recorded.region(entry) if entry.kind == "write" else entry.kind,
        "moment": f"a {state.state_of('a')}, b {state.state_of('b')}" if state else "no slot state",
        "started": start,
        "class": kind,
        "ok": kind in expected,
        "problem": problem,
        "seconds": round(time.monotonic() - began, 1),
        "proof": {**states.describe(point, applied), "lacks": lacks},
    }


def key(recorded: Recorded, part: str, point: Point, start: bool) -> str:
    return f"{recorded.folder.name}/{part}/{point.name}/{'started' if start else 'looked at'}"


def _state(recorded: Recorded, disk: Path, at: Path) -> tuple[slot_state.SlotState | None, str]:
    """Return the slot state as GRUB reads it, which replays no journal, and what is wrong with it."""
    start, size = slots.place(recorded.layout, "dispatch")
    with filesystems.read_only(disk, start, size, "ext4", at) as dispatch:
        try:
            return slot_state.read(dispatch).state, ""
        except Fault as fault:
            return None, fault.what


def _table(recorded: Recorded, disk: Path) -> str:
    """Return who reads the partition table as neither the one before the commit nor the one after it."""
    if not recorded.trial:
        return ""
    layout = recorded.layout
    size = layout.sector_bytes
    meant = [readings.of_table(table.target(layout, upto).entries) for upto in ("convert", "commit")]
    with disk.open("rb") as data:

        def read(lba: int, count: int) -> bytes:
            data.seek(lba * size)
            return data.read(count * size)

        found = {name: how(read, layout.disk_bytes // size, size) for name, how in readings.READINGS.items()}
    wrong = sorted(name for name, reading in found.items() if reading not in meant)
    return f"{', '.join(wrong)}: another partition table" if wrong else ""


def _contents(recorded: Recorded, disk: Path, whole: set[str], at: Path) -> str:
    for slot in sorted(whole):
        try:
            found = content(recorded.layout, slot, disk, at)
        except RuntimeError as error:
            return f"slot {slot} cannot be read: {error}"
        # What it was at one of the times, file by file.
        differ = set.intersection(*(set(slots.differences(one, found)) for one in recorded.wanted[slot]))
        if differ:
            return f"slot {slot}: {len(differ)} files differ: {', '.join(sorted(differ)[:5])}"
    return ""


def _started(recorded: Recorded, folder: Path, choice: str) -> str:
    """Start a state until its user can log in, and finish; return what is wrong, empty where slot ``choice`` runs."""
    shutil.copyfile(recorded.image.folder / "credentials.json", folder / "credentials.json")
    machine = Machine.create(folder / HOST, Options(image="state"), Image(recorded.image.recipe, folder))
    try:
        machine.start()
        machine.wait_for_ssh(SSH_SECONDS)
        line = machine.ssh("cat /proc/cmdline")
        return recorded.finish(machine) if f"dualroot.slot={choice} " in line else f"slot {choice} was to start: {line}"
    except MachineError as error:
        return f"it does not start: {error}; {machine.console()[-800:]}"
    finally:
        machine.stop()


def run_all(
    recorded: Recorded, chosen: Sequence[tuple[str, Point, bool]], results: Results, scratch: Path, until: float
) -> Iterator[dict[str, Any]]:
    """Judge the states that are not in the results yet, until the time is over."""
    scratch.mkdir(parents=True, exist_ok=True)
    for part, point, start in chosen:
        if time.monotonic() > until:
            return
        if key(recorded, part, point, start) not in results:
            line = judge(recorded, part, point, scratch, start)
            results.add(line)
            yield line


def spread(recorded: Recorded, seed: int, wanted: int, started: int) -> list[tuple[str, Point, bool]]:
    """Return ``wanted`` states of the parts in turn, more of the longer one; ``started`` of each are started as well.

    Those come last: a start takes as long as twenty looks.
    """
    found = []
    for part in recorded.parts:
        share = round(wanted * (0.7 if part in ("update", "commit") else 0.3))
        chosen = points(recorded, part, seed, share)
        found.append([(part, point, number < started) for number, point in enumerate(chosen)])
    turns = max(len(one) for one in found)
    in_turn = [one[number] for number in range(turns) for one in found if number < len(one)]
    return sorted(in_turn, key=lambda one: one[2])


def sample(recorded: Recorded, seed: int, wanted: int, started: int, folder: Path, kept: str = "") -> list[Line]:
    """Judge a sample of states for a test; return their lines. Those in the file ``kept`` are not judged again."""
    results = Results(Path(kept) if kept else folder / "results.jsonl")
    chosen = spread(recorded, seed, wanted, started)
    list(run_all(recorded, chosen, results, folder / "scratch", time.monotonic() + SAMPLE_SECONDS))
    keys = {key(recorded, *one) for one in chosen}
    return [line for line in results.lines if line["key"] in keys]


def main(what: str, description: str, record: Callable[[Path], Recorded]) -> int:
    """Run the command line of ``update`` and ``commit``."""
    top = argparse.ArgumentParser(prog=f"python -m tests.crash.{what}", description=description.splitlines()[0])
    top.add_argument("--points", type=int, default=60)
    top.add_argument("--started", type=int, default=12, help="of each part, how many are started as well")
    top.add_argument("--seconds", type=float, default=4 * 3600)
    top.add_argument("--seed", type=int, default=1)
    top.add_argument("--results", type=Path, default=RESULTS)
    top.add_argument("--work", type=Path, default=cache_folder().parent / "crash")
    arguments = top.parse_args()
    end_on_signal()
    recorded = record(arguments.work)
    results = Results(arguments.results)
    chosen = spread(recorded, arguments.seed, arguments.points, arguments.started)
    until = time.monotonic() + arguments.seconds
    bad = 0
    for line in run_all(recorded, chosen, results, arguments.work / f"scratch-{what}", until):
        bad += not line["ok"]
        said = "" if line["ok"] else f" UNEXPECTED: {line['problem']}"
        print(f"{line['part']} {line['point']} {line['region']} ({line['moment']}): {line['class']}{said}", flush=True)
    return 1 if bad else 0
