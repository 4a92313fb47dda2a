# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase restore: the new system's files, streamed from memory or from the lifeboat to the disk."""

from __future__ import annotations

import contextlib
import os

from ..archive.restore import Order
from . import mounting
from .load import payload_file
from .work import Work

#: FAT keeps neither modes nor owners; ``quiet`` (mount(8)) accepts that tar sets them, since a payload may
#: hold the mount point itself with a mode of its own.
_OPTIONS = {"vfat": "noatime,quiet"}


def run(work: Work) -> None:
    if work.lifeboat is not None and work.begun("restore"):
        work.step("fresh", lambda: make_fresh(work), always=True)
    work.step("mount", lambda: mount_new(work), always=True)
    work.step("restore", lambda: restore(work))
    if work.lifeboat is None:
        work.step("free_memory", lambda: free_memory(work))


def make_fresh(work: Work) -> None:
    """Make the file systems once more: what a cut left of a half restore is not worth to be looked at."""
    mounting.unmount(work.machine, work.machine.places.new)
    systems = work.resolved.slot_file_systems(work.plan["slot"])
    work.parts.make_file_systems(work.machine.runner, work.node, work.resolved, systems, work.kept_partitions)


def mount_new(work: Work) -> None:
    """Mount the slot's root and the other file systems of the layout in it, all of them writable."""
    for system in work.resolved.slot_file_systems(work.plan["slot"]):
        if system.kind == "swap":
            continue
        at = work.machine.places.inside(work.machine.places.new, system.mount)
        device = work.resolved.device(work.node, system.on)
        mounting.mount(work.machine, device, at, system.kind, _OPTIONS.get(system.kind, "noatime"))


def restore(work: Work) -> None:
    payload = work.plan["payload"]
    order = Order(
        source=work.parts.packed(work.node, work.lifeboat) if work.lifeboat else payload_file(work),
        target=work.machine.places.new,
        sha256=payload["sha256"],
        unpacked_bytes=int(payload["unpacked_bytes"]),
        # Memory was hashed while it was filled, and nobody else writes there; a disk is asked each time.
        trusted=work.lifeboat is None,
    )
    done = work.parts.restore(work.machine.runner, order, work.status.progress)
    for note in done.get("notes", ()):
        work.status.show(note)


def free_memory(work: Work) -> None:
    """Give the payload's memory back: it is on the disk, and no later step reads it again."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(payload_file(work))
