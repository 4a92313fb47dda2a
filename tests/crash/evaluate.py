# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a state and says how it ended: OLD, NEW, RESUME, RESCUE or BRICK.

What is printed is not enough: after OLD the old files are compared, after NEW the new ones, bit by bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout

from . import filesystems, recorder
from .combos import MIB, Combo
from .old_system import OURS, Place

OLD, NEW, RESUME, RESCUE, BRICK = "OLD", "NEW", "RESUME", "RESCUE", "BRICK"
CLASSES = (OLD, NEW, RESUME, RESCUE, BRICK)
#: Seconds for all starts of one state, on a machine that does other work as well.
LIMIT_SECONDS = 900.0
#: What of the new system tells of the run itself and so differs from run to run.
_OF_THE_RUN = ("var/lib/dualroot", "var/log", "lost+found")


@dataclass(frozen=True)
class Outcome:
    """``starts`` counts stage two's; ``problem`` says what was found wrong, empty for none."""

    kind: str
    seconds: float
    starts: int
    problem: str
    text: str


@dataclass(frozen=True)
class Target:
    """What the end of a state is compared with; descriptions are those of ``filesystems.describe``."""

    combo: Combo
    root: Place
    layout: ResolvedLayout
    slot: str
    old: dict[str, str]
    new: dict[str, str]


def is_ours(path: str) -> bool:
    return path.startswith(OURS)


def is_of_the_run(path: str) -> bool:
    return path.startswith(_OF_THE_RUN)


def evaluate(target: Target, image: Path, variables: Path | None, scratch: Path) -> Outcome:
    """Start ``image``, which is changed by that, and judge its end."""
    return judge(target, recorder.start(target.combo, image, LIMIT_SECONDS, variables), image, scratch)


def judge(target: Target, run: recorder.Run, image: Path, scratch: Path) -> Outcome:
    """Say how a run of ``image`` ended, from its console and from what the image holds now."""
    kind, problem = BRICK, f"it ended as: {run.end}"
    if run.end == "held":
        kind, problem = RESCUE, run.reason
    elif run.end == "old":
        problem = old_problem(target, image, scratch)
        kind = BRICK if problem else OLD
    elif run.end == "new":
        problem = new_problem(target, image, scratch)
        kind = BRICK if problem else RESUME if run.stage_two_starts else NEW
    return Outcome(kind, run.seconds, run.stage_two_starts, problem, run.text)


def old_problem(target: Target, image: Path, scratch: Path) -> str:
    """Return what is wrong with the old system's files.

    Its kernel here only prints its command line. What a real one does first after a cut in the staging, which writes
    to the file system that it runs from, is to replay the journal; so that is done for it.
    """
    try:
        return _compared(target.old, old_content(target.combo, target.root, image, scratch, filesystems.REPLAYED))
    except RuntimeError as error:
        return f"the old root cannot be read: {error}"


def old_content(
    combo: Combo, root: Place, image: Path, scratch: Path, options: Mapping[str, str] = filesystems.UNTOUCHED
) -> dict[str, str]:
    """Return what the old root file system holds, but for what is the migration's own."""
    where = filesystems.read_only(image, root.start, root.size, combo.fstype, scratch, combo.sector_bytes, options)
    with where as mounted:
        return filesystems.describe(mounted, is_ours)


def new_content(layout: ResolvedLayout, slot: str, image: Path, scratch: Path) -> dict[str, str]:
    """Return what the root file system of the slot holds."""
    start, size = root_place(layout, slot)
    with filesystems.read_only(image, start, size, "ext4", scratch, layout.sector_bytes) as mounted:
        return filesystems.describe(mounted, is_of_the_run)


def root_place(layout: ResolvedLayout, slot: str) -> tuple[int, int]:
    """Return start and size in bytes of a slot's root: it is the first volume of its group."""
    wanted = layout.slots[slot].root
    for group in layout.volume_groups:
        first = 0
        for volume in group.volumes:
            if volume.id == wanted:
                part = layout.partition(group.partitions[0])
                return (
                    part.start_lba * layout.sector_bytes + MIB + first * group.extent_bytes,
                    volume.extents * group.extent_bytes,
                )
            first += volume.extents
    raise ValueError(f"slot {slot} has no root")


def new_problem(target: Target, image: Path, scratch: Path) -> str:
    """Return what is wrong with the new system: its files, or the structure of its file systems."""
    try:
        found = new_content(target.layout, target.slot, image, scratch)
    except RuntimeError as error:
        return f"the new root cannot be read: {error}"
    problem = _compared(target.new, found)
    if problem:
        return problem
    dispatch = target.layout.partition(target.layout.dispatch)
    size = target.layout.sector_bytes
    places = [root_place(target.layout, target.slot), (dispatch.start_lba * size, dispatch.sectors * size)]
    for start, length in places:
        with filesystems.loop(image, start, length, size) as device:
            try:
                filesystems.run("e2fsck", "-f", "-n", device)
            except RuntimeError as error:
                return f"e2fsck of the file system at byte {start}: {error}"
    return ""


def _compared(wanted: dict[str, str], found: dict[str, str]) -> str:
    differ = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
    return f"{len(differ)} files differ: {', '.join(differ[:5])}" if differ else ""


def control(image: Path, before: bytes, after: bytes) -> str:
    """Return who starts from LBA 0: ``old``, ``lifeboat`` or ``new`` (BIOS)."""
    with image.open("rb") as file:
        code = file.read(440)
    return "old" if code == before[:440] else "new" if code == after[:440] else "lifeboat"


def is_armed(combo: Combo, root: Place, image: Path, scratch: Path) -> bool:
    """Tell whether the one-shot of the old system is still to come; False where there is no old system any more."""
    try:
        with filesystems.read_only(image, root.start, root.size, combo.fstype, scratch, combo.sector_bytes) as mounted:
            return b"next_entry=dualroot-convert" in (mounted / "boot/grub/grubenv").read_bytes()
    except (RuntimeError, OSError):
        return False


def load_layout(plan: Path) -> tuple[ResolvedLayout, str]:
    document: dict[str, Any] = json.loads(plan.read_text())
    return ResolvedLayout.from_document(document["layout"]), str(document["slot"])


def with_variables(source: Path | None, folder: Path) -> Path | None:
    """Copy the firmware's variables: a start changes them."""
    if source is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(source, folder / "vars.fd"))
