# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Overwrite what a lifeboat holds of its host, on the new system, before its place is given away.

Its host part has password hashes and private keys; its journal would make stage two believe that a run
is under way. Both lie in blocks that the new layout has not used yet. Whether that is still so is asked
again here, of the kernel, the partition table and LVM; a place that is in use is never written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..archive.durable import sync_directory
from ..disk import sysfs
from ..disk.probe import probe
from ..disk.usage import mounts
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ..runner import Runner
from ..units import MIB
from ..volumes import lvm
from . import disk
from .berth import DOCUMENT, read_document, user_of
from .model import Extent, intersect, subtract
from .ranges import allowed

#: The parts that must not outlive the run.
PARTS = ("host", "journal")


@dataclass(frozen=True)
class Erasure:
    """What is to be overwritten, and what is left because something else lies there now."""

    erased: tuple[Extent, ...] = ()
    kept: tuple[tuple[Extent, str], ...] = ()
    described: bool = False


def look(
    runner: Runner, resolved: ResolvedLayout, node: str, folder: Path, run_id: str, root: Path = sysfs.ROOT
) -> Erasure:
    """Return what is to be done; ``folder`` is the run's on the new system, where its lifeboat is described.

    Without that description there was no lifeboat, or it has been overwritten.
    """
    lifeboat = read_document(folder)
    if lifeboat is None or lifeboat.run_id != run_id:
        return Erasure()
    name = sysfs.kernel_name(node, root)
    if sysfs.size_bytes(name, root) != lifeboat.disk_bytes:
        problem = f"the disk has {sysfs.size_bytes(name, root)} bytes, not {lifeboat.disk_bytes}"
        raise Fault(kinds.NOT_ON_DISK, part="host", node=node, problem=problem)
    erased: list[Extent] = []
    kept: list[tuple[Extent, str]] = []
    for part in PARTS:
        for extent in lifeboat.part(part).extents:
            user = _user(runner, resolved, node, extent, root)
            if user:
                kept.append((extent, user))
            else:
                erased.append(extent)
    return Erasure(tuple(erased), tuple(kept), True)


def erase(found: Erasure, node: str, folder: Path) -> None:
    """Overwrite what was found, prove it, and only then forget where it was.

    Raises ``Fault`` ``lifeboat.not_on_disk``.
    """
    if not found.described:
        return
    try:
        for one in found.erased:
            for start in range(one.start, one.end, MIB):
                disk.write_extent(node, start, bytes(min(MIB, one.end - start)))
        clean = all(not any(piece) for one in found.erased for piece in disk.read_extents(node, [one], one.length))
    except OSError as error:
        raise Fault(kinds.NOT_ON_DISK, part="host", node=node, problem=f"{error.strerror}") from error
    if not clean:
        raise Fault(kinds.NOT_ON_DISK, part="host", node=node, problem="it was not overwritten")
    (folder / DOCUMENT).unlink()
    sync_directory(folder)


def _user(runner: Runner, resolved: ResolvedLayout, node: str, extent: Extent, root: Path) -> str:
    """Return what uses a place, empty where surely nothing does."""
    if subtract([extent], allowed(resolved)):
        return "the layout"
    if not user_of(node, extent, root):
        return ""
    name = sysfs.kernel_name(node, root)
    if _of_old_root(resolved, name, extent, root):
        return ""
    # A partition that is there already: only a volume without any content may lie at this place.
    part = next(
        (
            one
            for one in sysfs.partitions(name, root)
            if not subtract([extent], [Extent(one.start_bytes, one.size_bytes)])
        ),
        None,
    )
    if part is None:
        return user_of(node, extent, root)
    inside = [one for one in lvm.segments(runner) if sysfs.kernel_name(one.node, root) == part.name]
    covered = [(one, Extent(part.start_bytes + one.start_bytes, one.size_bytes)) for one in inside]
    if subtract([extent], [place for _segment, place in covered]):
        return f"partition {part.name}"
    users = (_volume_user(runner, one, root) for one, place in covered if one.volume and intersect([extent], [place]))
    return next((user for user in users if user), "")


def _of_old_root(resolved: ResolvedLayout, name: str, extent: Extent, root: Path) -> bool:
    """Tell whether a place lies in the old root, which nothing starts any more and nobody has mounted.

    Its file of the lifeboat goes with it, at this phase.
    """
    for part in resolved.until_commit:
        whole = Extent(part.start_lba * resolved.sector_bytes, part.sectors * resolved.sector_bytes)
        if subtract([extent], [whole]):
            continue
        there = [one for one in sysfs.partitions(name, root) if one.number == part.number]
        return bool(there) and all(
            (one.start_bytes, one.size_bytes) == (whole.start, whole.length)
            and not sysfs.holders(one.name, root)
            and not any(mount.device_number == sysfs.device_number(one.name, root) for mount in mounts(root))
            for one in there
        )
    return False


def _volume_user(runner: Runner, segment: lvm.Segment, root: Path) -> str:
    """Return why a volume is in use: it has content, or somebody has it mounted or stacked."""
    shown = f"volume {segment.group}/{segment.volume}"
    device = f"/dev/{segment.group}/{segment.volume}"
    content = probe(runner, device).kind
    if content:
        return f"{shown} ({content})"
    name = sysfs.kernel_name(device, root)
    number = sysfs.device_number(name, root)
    busy = sysfs.holders(name, root) or any(one.device_number == number for one in mounts(root))
    return shown if busy else ""


def describe(found: Erasure) -> Sequence[str]:
    """Return a line for each place, for people and for the diff."""
    lines = [f"overwritten: bytes {one.start} to {one.end}" for one in found.erased]
    return [*lines, *(f"left: bytes {one.start} to {one.end}, now of {user}" for one, user in found.kept)]
