# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One combination made ready: old disk, staged disk, and the recordings of both stages.

What is made lies in a folder per combination and state of the engine, and is used again as long as neither
changes: images, logs of writes, what the console said, what old and new system hold.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import bundle, evaluate, old_system, recorder, stage_one, states
from .combos import Combo
from .old_system import OldSystem
from .write_log import WriteLog, entries_so_far

RECORD_SECONDS = 1500.0


class NotPrepared(Exception):
    """A machine did not come through undisturbed: there is nothing to cut then."""


@dataclass(frozen=True)
class Recording:
    """What was written in one go, and the image before it.

    ``variables`` are the firmware's (UEFI), each with the entries of the log between which they came to be.
    """

    name: str
    base: Path
    log: WriteLog
    steps: Sequence[str]
    variables: Sequence[tuple[int, int, Path]] = ()

    def variables_at(self, index: int) -> Path | None:
        found = [path for _before, after, path in self.variables if after <= index]
        return found[-1] if found else None

    def is_sure(self, index: int) -> bool:
        """Tell whether it is known what the variables were at an entry: a change is not seen the moment it comes."""
        return not any(before < index < after for before, after, _path in self.variables)


@dataclass(frozen=True)
class Prepared:
    """A combination with its recordings; ``journal`` are the extents (start, length) of the journal."""

    folder: Path
    target: evaluate.Target
    recordings: dict[str, Recording]
    journal: Sequence[tuple[int, int]]
    boot_sectors: tuple[bytes, bytes]
    engine: str

    @property
    def last_variables(self) -> Path | None:
        """The firmware's variables when all was done (UEFI)."""
        return self.recordings["stage-two"].variables_at(len(self.recordings["stage-two"].log.entries))


def engine_digest(environment: Path) -> str:
    """Return what names the engine and the environment under test, and this harness."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in (
        *sorted((bundle.REPOSITORY / "plugins/module_utils").rglob("*.py")),
        bundle.REPOSITORY / "roles/bundle/files/init",
    ):
        if not {"capture", "report", "waiting", "snapshot"} & set(path.parts):
            digest.update(path.read_bytes())
    for name in ("combos", "bundle", "old_system", "stage_one", "recorder"):
        digest.update((here / f"{name}.py").read_bytes())
    digest.update((environment / "manifest.json").read_bytes())
    return digest.hexdigest()[:12]


def prepare(combo: Combo, work: Path, built: Path, *, own_engine: bool = False) -> Prepared:
    """Make everything ready, or take up what is. Raises ``NotPrepared``."""
    engine = engine_digest(built)
    folder = work / f"{combo.name}-{engine}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("old", "scratch", "variables"):
            (folder / name).mkdir(parents=True)
        system = _stage(combo, folder, built, own_engine)
        _record(combo, folder, system)
        (folder / "ready").write_text("")
    return _load(combo, folder, engine)


def _stage(combo: Combo, folder: Path, built: Path, own_engine: bool) -> OldSystem:
    """Make the old system and stage on it, every write of the staging logged where that is possible."""
    bundle.make(folder / "bundle", built, own_engine=own_engine)
    (folder / "capture.json").write_text(json.dumps(bundle.capture(folder)))
    system = old_system.build(combo, folder / "old.img", folder / "scratch")
    (folder / "system.json").write_text(json.dumps(asdict(system)))
    recorder.copy_image(folder / "old.img", folder / "staged.img")
    if recorder.can_export() and combo.sector_bytes == 512:
        with recorder.exported(folder / "staged.img", folder / "stage-one.log", folder / "export.img") as shown:
            stage_one.stage(folder, combo, system, shown)
    else:
        stage_one.stage(folder, combo, system, folder / "staged.img")
    return system


def _record(combo: Combo, folder: Path, system: OldSystem) -> None:
    """Let stage two run undisturbed, from the one-shot to the new system."""
    recorder.copy_image(folder / "staged.img", folder / "final.img")
    variables = first_variables(combo, folder)
    recorded = recorder.record(combo, folder / "final.img", folder / "stage-two.log", RECORD_SECONDS, variables)
    (folder / "serial.log").write_text(recorded.text)
    (folder / "marks.json").write_text(json.dumps([recorded.marks, recorded.variables, recorded.seconds]))
    if recorded.end != "new":
        said = "\n".join(recorded.text.splitlines()[-15:])
        raise NotPrepared(f"{combo.name}: undisturbed it ended as {recorded.end} {recorded.reason}\n{said}")
    old = evaluate.old_content(combo, system.root, folder / "staged.img", folder / "scratch/mount")
    before = evaluate.old_content(combo, system.root, folder / "old.img", folder / "scratch/mount")
    if old != before:
        raise NotPrepared(f"{combo.name}: staging changed files of the old system")
    layout, slot = evaluate.load_layout(folder / "plan.json")
    new = evaluate.new_content(layout, slot, folder / "final.img", folder / "scratch/mount")
    _check_payload(folder, new)
    (folder / "contents.json").write_text(json.dumps({"old": old, "new": new}))


def first_variables(combo: Combo, folder: Path) -> Path | None:
    """Return the firmware's variables before stage two; they change with every start."""
    if combo.firmware == "bios":
        return None
    return recorder.fresh_variables(folder / "variables")


def _check_payload(folder: Path, new: dict[str, str]) -> None:
    """The reference is only one if it holds the payload: every file that the configuration leaves alone."""
    from . import filesystems

    payload = filesystems.describe(folder / "bundle/root")
    differ = [
        path
        for path in payload
        if path.startswith(("usr", "srv", "boot/vmlinuz", "bin")) and new.get(path) != payload[path]
    ]
    if differ:
        raise NotPrepared(f"the new system differs from the payload: {', '.join(differ[:5])}")


def _load(combo: Combo, folder: Path, engine: str) -> Prepared:
    values: dict[str, Any] = json.loads((folder / "system.json").read_text())
    root = old_system.Place(**values["root"])
    contents = json.loads((folder / "contents.json").read_text())
    layout, slot = evaluate.load_layout(folder / "plan.json")
    journal = _journal(folder)
    marks, variables, _seconds = json.loads((folder / "marks.json").read_text())
    log = WriteLog(folder / "stage-two.log")
    steps = states.steps_by_journal(log, journal, list(marks))
    saved = [(before, after, folder / "variables" / name) for before, after, name in variables]
    recordings = {"stage-two": Recording("stage-two", folder / "staged.img", log, steps, saved)}
    if entries_so_far(folder / "stage-one.log"):
        first = WriteLog(folder / "stage-one.log")
        fresh = [(0, 0, folder / "variables" / variables[0][2])] if variables else []
        recordings["stage-one"] = Recording(
            "stage-one", folder / "old.img", first, ["stage"] * len(first.entries), fresh
        )
    sectors = [(folder / name).open("rb").read(512) for name in ("staged.img", "final.img")]
    target = evaluate.Target(combo, root, layout, slot, contents["old"], contents["new"])
    return Prepared(folder, target, recordings, journal, (sectors[0], sectors[1]), engine)


def _journal(folder: Path) -> list[tuple[int, int]]:
    path = folder / "lifeboat.json"
    if not path.exists():
        return []
    document = json.loads(path.read_text())
    return [tuple(extent) for extent in document["parts"]["journal"]["extents"]]


def again(prepared: Prepared, at: states.Point) -> Recording:
    """Record what stage two does after a first cut: the base of a second one in the same step."""
    combo, first = prepared.target.combo, prepared.recordings["stage-two"]
    folder = prepared.folder / f"again-{at.name}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        states.make(first.base, first.log, at, folder / "base.img", combo.sector_bytes)
        recorder.copy_image(folder / "base.img", folder / "run.img")
        variables = evaluate.with_variables(first.variables_at(at.at), folder)
        run = recorder.record(combo, folder / "run.img", folder / "log", RECORD_SECONDS, variables)
        (folder / "serial.log").write_text(run.text)
        (folder / "marks.json").write_text(json.dumps([run.marks, run.variables]))
        (folder / "run.img").unlink()
        (folder / "ready").write_text("")
    marks, variables = json.loads((folder / "marks.json").read_text())
    log = WriteLog(folder / "log")
    steps = states.steps_by_journal(log, prepared.journal, list(marks))
    saved = [(before, after, folder / name) for before, after, name in variables]
    return Recording(folder.name, folder / "base.img", log, steps, saved)
