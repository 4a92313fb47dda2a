# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old system kept bootable: its root made smaller where it must be, and offered to the dispatcher.

Making a file system smaller is not one write, so a cut in the middle of it may leave one that cannot be trusted.
The lifeboat, which lies in blocks that the file system knows as its own and resize2fs(8) leaves where they are,
goes on with the migration then. The old system is no fallback any more, and the result says so: nothing here
holds a migration up that has passed the point of no return.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..disk.nodes import partition_node
from ..disk.probe import probe
from ..faults import stage_two as kinds
from ..faults.fault import Fault
from ..lifeboat import ext4_bitmaps
from ..units import format_size
from . import mounting
from .work import Work

#: The step of the journal that says why the old system is lost; it outlives a cut as every other.
LOST = "old_lost"
#: e2fsck(8): bit 0, errors were corrected; bit 1, and a mounted system should restart.
_CORRECTED = (0, 1, 2, 3)
_ANY = range(256)
_MINIMUM = re.compile(r"minimum size of the filesystem: (?P<blocks>[0-9]+)")
#: Seconds between two looks at whether the disk still works for e2fsck and resize2fs.
_LOOK = 5.0


def lost(work: Work) -> str:
    """Return why the old system cannot be kept after all, empty where it can."""
    for entry in reversed(work.journal.entries):
        if entry.step == LOST:
            return str(entry.detail or "unknown")
    return ""


def check(work: Work) -> None:
    """Look, while there is a way back, whether the old root can be made smaller.

    Raises ``Fault`` ``stage_two.old_not_sound`` where it cannot and must.
    """
    keep = _wanted(work)
    if not keep or int(keep["length"]) >= int(keep["was"]):
        return
    problem = _unsound(work, keep) or _too_full(work, keep)
    if problem and keep["wish"] == "required":
        raise Fault(kinds.OLD_NOT_SOUND, node=_device(work, keep), problem=problem)
    if problem:
        _lose(work, problem)


def shrinking(work: Work) -> Callable[[], None]:
    """Return what makes the old root smaller; it never fails, because there is no way back any more."""
    half_made = [work.begun("old")]

    def make() -> None:
        keep = _wanted(work)
        if not keep or int(keep["length"]) >= int(keep["was"]):
            return
        try:
            problem = _unsound(work, keep) if half_made[0] else _check_and_mend(work, keep)
            problem = problem or _shrink(work, keep)
        except (Fault, OSError) as error:
            problem = error.what if isinstance(error, Fault) else f"{error.strerror}"
        if problem:
            _lose(work, problem)

    return make


def offer(work: Work) -> None:
    """Let the dispatcher fall back to the old system, if that would find one to start."""
    keep = _wanted(work)
    if not keep:
        return
    try:
        problem = _unbootable(work, keep)
    except (Fault, OSError) as error:
        problem = error.what if isinstance(error, Fault) else f"{error.strerror}"
    if problem:
        _lose(work, problem)
        return
    work.parts.offer_old(work.dispatch, work.plan)
    work.status.show("the old system stays bootable until commit")


def _wanted(work: Work) -> dict[str, Any]:
    """Return the ``keep_old`` of the plan; empty where there is none, or none any more."""
    return {} if lost(work) else dict(work.plan.get("keep_old") or {})


def _lose(work: Work, why: str) -> None:
    text = " ".join(why.split())[:300]
    work.journal.add(work.phase, LOST, "skip", detail=text, keep=True)
    work.status.show(f"the old system cannot be kept: {text}")


def _device(work: Work, keep: dict[str, Any]) -> str:
    return partition_node(work.node, int(keep["number"]))


def _unsound(work: Work, keep: dict[str, Any]) -> str:
    """Return what is wrong with the old root, found without changing it."""
    device = _device(work, keep)
    found = probe(work.machine.runner, device)
    if (found.kind, found.uuid.lower()) != (keep["fstype"], str(keep["uuid"]).lower()):
        return f"{device} holds {found.kind or 'nothing'} {found.uuid} instead of the old root".replace("  ", " ")
    with _watched(work):
        done = work.machine.runner.run(("e2fsck", "-f", "-n", device), accept=_ANY)
    return "" if done.returncode == 0 else f"e2fsck -n ended with status {done.returncode}: {_said(done.text)}"


def _too_full(work: Work, keep: dict[str, Any]) -> str:
    """Ask resize2fs(8) what it would need at least: it refuses anything less, whatever is free by statvfs(2)."""
    device, length = _device(work, keep), int(keep["length"])
    done = work.machine.runner.run(("resize2fs", "-P", device), accept=_ANY)
    found = _MINIMUM.search(done.text)
    if found is None:
        return f"resize2fs -P ended with status {done.returncode}: {_said(done.error_text)}"
    needed = int(found["blocks"]) * _read_super(work, device).block_bytes
    return f"it needs {format_size(needed)}, and {format_size(length)} are left for it" if needed > length else ""


def _check_and_mend(work: Work, keep: dict[str, Any]) -> str:
    """Let e2fsck(8) do what it does at every start of the old system; resize2fs(8) insists on it."""
    with _watched(work):
        done = work.machine.runner.run(("e2fsck", "-f", "-p", _device(work, keep)), accept=_ANY)
    if done.returncode in _CORRECTED:
        return ""
    return f"e2fsck -p ended with status {done.returncode}: {_said(done.text)}"


def _shrink(work: Work, keep: dict[str, Any]) -> str:
    """Make it as small as planned, and prove it."""
    device, length = _device(work, keep), int(keep["length"])
    if _size(work, device) > length:
        work.status.show(f"the old root is made smaller, to {format_size(length)}")
        with _watched(work):
            done = work.machine.runner.run(("resize2fs", device, f"{length // 1024}K"), accept=_ANY)
        if done.returncode != 0:
            return f"resize2fs ended with status {done.returncode}: {_said(done.error_text)}"
    if _size(work, device) > length:
        return f"it still has {format_size(_size(work, device))}"
    return _unsound(work, keep)


def _unbootable(work: Work, keep: dict[str, Any]) -> str:
    """Return why the dispatcher could not start the old system from its partition in the new table."""
    device, places = _device(work, keep), work.machine.places
    found = probe(work.machine.runner, device)
    if (found.kind, found.uuid.lower()) != (keep["fstype"], str(keep["uuid"]).lower()):
        return f"its file system is not found on {device}"
    if keep["fstype"] != "xfs" and _size(work, device) > int(keep["length"]):
        return "its file system is larger than its partition"
    mounting.mount(work.machine, device, places.old, keep["fstype"], mounting.untouched_options(keep["fstype"]))
    try:
        missing = [keep[name] for name in ("kernel", "initrd") if not _is_filled(places.inside(places.old, keep[name]))]
    finally:
        mounting.unmount(work.machine, places.old)
    return f"{' and '.join(missing)} cannot be found in it" if missing else ""


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _size(work: Work, device: str) -> int:
    """Return the bytes of an ext2, ext3 or ext4; raises ``Fault`` where its super block says something unknown."""
    found = _read_super(work, device)
    return found.blocks * found.block_bytes


def _read_super(work: Work, device: str) -> ext4_bitmaps.Ext4:
    try:
        return ext4_bitmaps.read_super(work.machine.places.root / device.lstrip("/"))
    except ext4_bitmaps.NotKnown as error:
        raise Fault(kinds.OLD_NOT_SOUND, node=device, problem=str(error)) from error


def _said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "; ".join(lines[-3:])[-200:] or "(nothing)"


@contextlib.contextmanager
def _watched(work: Work) -> Iterator[None]:
    """Count what the disk does as progress while a tool works on it: it says nothing for itself."""
    name = sysfs.kernel_name(work.node, work.machine.places.root)
    stat = work.machine.places.root / f"sys/block/{name}/stat"
    end = threading.Event()

    def look() -> None:
        while not end.wait(_LOOK):
            with contextlib.suppress(OSError, ValueError, IndexError):
                # Documentation/block/stat.rst: sectors read and sectors written.
                fields = stat.read_text().split()
                moved = (int(fields[2]) + int(fields[6])) * sysfs.UNIT
                work.status.progress(moved, 0)

    thread = threading.Thread(target=look, name="old-system", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
