# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power cuts of updates and rollbacks, on a whole converted host.

One machine is updated and rolled back by the playbooks, and every write to its disk is logged, those of GRUB
and of both systems too. A state of the log is judged on the disk (who starts, are the files of the good slot
what they were, is a slot that may start complete), and then by starting it until it lets its user in.

    python -m tests.crash.update --points 40 --seconds 3600
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout

from tests.lab.bundles import build_bundle
from tests.lab.cache import cache_folder
from tests.lab.converted import HOST, PREFIX, convert
from tests.lab.guest import MachineError
from tests.lab.hardware import WRITES, Options
from tests.lab.image import Image
from tests.lab.machine import Machine, end_on_signal, running
from tests.lab.playbook import run_playbook
from tests.vm import slots

from . import filesystems, states
from .soak import Results
from .states import Point
from .write_log import Entry, WriteLog, entries_so_far, last_flush

RESULTS = Path(__file__).parent / "results/updates.jsonl"
#: What is cut, and the slot that runs before it.
PARTS = {"update": "a", "rollback": "b"}
SSH_SECONDS = 600.0
_BLOCK = b"# GRUB Environment Block\n"


class NotRecorded(Exception):
    """The undisturbed run failed: there is nothing to cut then."""


@dataclass(frozen=True)
class Recorded:
    """``parts`` are the first and the last entry of each; ``wanted`` is what a slot holds when it is whole."""

    folder: Path
    image: Image
    layout: ResolvedLayout
    log: WriteLog
    parts: dict[str, tuple[int, int]]
    wanted: dict[str, dict[str, str]]

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


def record(work: Path, name: str = "debian13-va", bundle: str = "debian13-va-2") -> Recorded:
    """Update and roll back a converted host, every write logged; what is recorded already is used again."""
    image, built = convert(name), build_bundle(bundle)
    manifest = hashlib.sha256((built.folder / "manifest.json").read_bytes()).hexdigest()[:8]
    folder = work / f"update-{image.folder.resolve().name}-{manifest}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        variables = {**built.variables(), "dualroot_consent": 1}
        with running(folder / HOST, Options(image=PREFIX + name, log_writes=True), image) as machine:
            position = _position(machine)
            parts = {}
            for part in PARTS:
                outcome = run_playbook(part, variables, folder / "reports", inventory=machine.inventory)
                (folder / f"{part}.log").write_text(outcome.output)
                if outcome.returncode != 0:
                    raise NotRecorded(f"{part}:\n{outcome.output[-4000:]}")
                parts[part] = (position, _position(machine))
                position = parts[part][1]
            machine.power_down()
        plan = sorted((folder / "reports").glob(f"*/{HOST}/plan.json"))[0]
        shutil.copyfile(plan, folder / "plan.json")
        (folder / "parts.json").write_text(json.dumps(parts))
        recorded = _load(folder, image, {})
        (folder / "wanted.json").write_text(json.dumps(_wanted(recorded)))
        (folder / "ready").write_text("")
    return _load(folder, image, json.loads((folder / "wanted.json").read_text()))


def _position(machine: Machine) -> int:
    machine.ssh("sudo sync")
    # The log's own count is written with each entry, so this is exact as long as the host is quiet.
    return entries_so_far(machine.folder / WRITES)


def _load(folder: Path, image: Image, wanted: dict[str, dict[str, str]]) -> Recorded:
    layout = ResolvedLayout.from_document(json.loads((folder / "plan.json").read_text())["layout"])
    parts = {name: (first, last) for name, (first, last) in json.loads((folder / "parts.json").read_text()).items()}
    return Recorded(folder, image, layout, WriteLog(folder / HOST / WRITES), parts, wanted)


def _wanted(recorded: Recorded) -> dict[str, dict[str, str]]:
    """Return what slot a held before the update, and slot b when it was first allowed to start."""
    first, last = recorded.parts["update"]
    allowed = [
        index for index in control_writes(recorded.log, first, last) if state_in(recorded.log, index, "b") == "trying"
    ]
    if not allowed:
        raise NotRecorded("the update never let slot b start")
    found = {}
    for slot, at in (("a", first), ("b", allowed[0] + 1)):
        state = recorded.folder / "wanted.img"
        states.make(recorded.image.disk, recorded.log, Point(at, "prefix"), state)
        found[slot] = content(recorded.layout, slot, state, recorded.folder / "mount")
        state.unlink()
    if len(found["b"]) < 1000:
        raise NotRecorded("slot b was allowed to start while it was not there")
    return found


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
    """Return about ``wanted`` states: around every write of the slot state, then spread over the parts of the disk."""
    log, (first, last) = recorded.log, recorded.parts[part]
    chance = random.Random(f"{seed}/{part}")
    control = control_writes(log, first, last)
    found = []
    for index in control:
        # The model has a sector written as a whole or not at all, and so the state is.
        found += [Point(index, "prefix"), Point(index + 1, "prefix")]
        if last_flush(log.entries, index) < index:
            found.append(Point(index, "dropped", chance.randrange(1000)))
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
    before = PARTS[part]
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        disk = folder / "disk.raw"
        applied = states.make(recorded.image.disk, recorded.log, point, disk)
        lacks = states.missing(recorded.log, point, disk)
        state, problem = _state(recorded, disk, folder / "mount")
        choice = state.next or state.choice() if state else ""
        if state and not problem:
            other = "b" if before == "a" else "a"
            whole = {before, *(slot for slot in (other,) if state.state_of(slot) in ("good", "trying"))}
            if state.state_of(before) != "good":
                problem = f"slot {before}, which ran, is {state.state_of(before)}"
            # The start first, on an overlay: it has to do with the disk as the cut left it.
            problem = problem or (_started(recorded, folder, choice) if start else "")
            problem = problem or _contents(recorded, disk, whole, folder / "mount")
    kind = "BRICK" if problem else "KEPT" if choice == before else "NEW"
    expected = (
        ["KEPT"] if state and state.state_of("a" if before == "b" else "b") in ("bad", "empty") else ["KEPT", "NEW"]
    )
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


def _contents(recorded: Recorded, disk: Path, whole: set[str], at: Path) -> str:
    for slot in sorted(whole):
        try:
            found = content(recorded.layout, slot, disk, at)
        except RuntimeError as error:
            return f"slot {slot} cannot be read: {error}"
        differ = slots.differences(recorded.wanted[slot], found)
        if differ:
            return f"slot {slot}: {len(differ)} files differ: {', '.join(differ[:5])}"
    return ""


def _started(recorded: Recorded, folder: Path, choice: str) -> str:
    """Start a state until its user can log in; return what is wrong, empty where slot ``choice`` runs."""
    shutil.copyfile(recorded.image.folder / "credentials.json", folder / "credentials.json")
    machine = Machine.create(folder / HOST, Options(image="state"), Image(recorded.image.recipe, folder))
    try:
        machine.start()
        machine.wait_for_ssh(SSH_SECONDS)
        line = machine.ssh("cat /proc/cmdline")
    except MachineError as error:
        return f"it does not start: {error}; {machine.console()[-800:]}"
    finally:
        machine.stop()
    return "" if f"dualroot.slot={choice} " in line else f"slot {choice} was to start: {line}"


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
    """Return ``wanted`` states of update and rollback in turn; ``started`` of each part are started as well.

    Those come last: a start takes as long as twenty looks.
    """
    found = []
    for part in PARTS:
        share = round(wanted * (0.7 if part == "update" else 0.3))
        chosen = points(recorded, part, seed, share)
        found.append([(part, point, number < started) for number, point in enumerate(chosen)])
    turns = max(len(one) for one in found)
    in_turn = [one[number] for number in range(turns) for one in found if number < len(one)]
    return sorted(in_turn, key=lambda one: one[2])


def main() -> int:
    top = argparse.ArgumentParser(prog="python -m tests.crash.update", description=__doc__.splitlines()[0])
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
    for line in run_all(recorded, chosen, results, arguments.work / "scratch-update", until):
        bad += not line["ok"]
        said = "" if line["ok"] else f" UNEXPECTED: {line['problem']}"
        print(f"{line['part']} {line['point']} {line['region']} ({line['moment']}): {line['class']}{said}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
