# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restores a root file system from an archive into a directory, whole or visibly not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..faults import archive as kinds
from ..faults.fault import Fault
from ..runner import Runner
from . import acl, compression, durable, marker, stream, target
from .digests import FileDigests
from .marker import Marker
from .packed import Source, size_of

#: What to do with a target that holds other files.
EXISTING = ("refuse", "erase", "overlay")

#: Called with bytes read so far and bytes in all, of the packed archive.
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Order:
    """What is to be restored where; a source that is a path is a file.

    ``sha256`` is the digest that the packed file must have, in hex; without it the digest is only
    reported. ``unpacked_bytes`` is the size of the tar that the manifest promises; 0 sets no limit.
    ``trusted`` says that the very same bytes were hashed a moment ago and can't have changed since
    (memory), so that they are not hashed again.
    """

    source: Source
    target: Path
    sha256: str = ""
    unpacked_bytes: int = 0
    existing: str = "refuse"
    trusted: bool = False


@dataclass(frozen=True)
class Restored:
    """What a restore did; sizes in bytes, ``bytes`` of the packed archive.

    ``notes`` tell what of the archive this system could not hold.
    """

    changed: bool
    digest: str
    bytes: int
    unpacked_bytes: int = 0
    entries: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def unpacked_limit(promised: int) -> int:
    """Return how many bytes of tar to accept; headers and padding are not in every builder's count."""
    return promised + promised // 10 + (64 << 20)


def state(order: Order) -> Marker | None:
    """Return the marker of the target: what an earlier restore left there."""
    return marker.read(order.target)


def is_done(order: Order) -> bool:
    """Tell whether the target already holds exactly this archive; needs ``order.sha256``."""
    found = state(order)
    return found is not None and found.complete and bool(order.sha256) and found.digest == order.sha256


def check(order: Order) -> str:
    """Check everything that can be known before the first write; return the compression."""
    kind = compression.detect_source(order.source)
    if not order.target.is_dir():
        raise Fault(kinds.NO_TARGET, target=order.target)
    found = state(order)
    started_by_us = found is not None and not found.complete
    if order.existing == "refuse" and not started_by_us:
        there = list(islice(target.occupants(order.target), 4))
        if there:
            shown = ", ".join(there[:3]) + (", …" if len(there) > 3 else "")
            raise Fault(kinds.NOT_EMPTY, target=order.target, found=shown)
    if order.unpacked_bytes and order.existing == "refuse" and not started_by_us:
        room = os.statvfs(order.target)
        free = room.f_bavail * room.f_frsize
        if free < order.unpacked_bytes * 9 // 10:
            raise Fault(kinds.NO_SPACE, target=order.target, needed=order.unpacked_bytes, free=free)
    return kind


def restore(
    runner: Runner, order: Order, progress: Progress | None = None, digests: FileDigests | None = None
) -> Restored:
    """Restore the archive; idempotent by digest, and started anew where an earlier one was cut off.

    ``digests`` takes those of the single files, unless there is nothing to do. Raises a fault of
    ``faults/archive.py``; the target is then marked incomplete (and emptied, where
    its content must not be used), unless nothing was written yet.
    """
    if is_done(order):
        return Restored(False, order.sha256, size_of(order.source))
    kind = check(order)
    began = time.monotonic()
    overlay = _make_ready(order)
    try:
        counts = stream.unpack(
            runner,
            stream.Source(order.source, kind, not (order.trusted and order.sha256), order.sha256),
            order.target,
            limit=unpacked_limit(order.unpacked_bytes) if order.unpacked_bytes else 0,
            promised=order.unpacked_bytes,
            progress=progress,
            digests=digests,
        )
    except Fault as fault:
        if fault.kind in (kinds.DIGEST, kinds.UNSAFE_MEMBER, kinds.TOO_LARGE) and not overlay:
            target.empty(order.target)
        raise
    digest = counts.digest or order.sha256
    notes = tuple(acl.apply(order.target, counts.acls))
    try:
        durable.sync_file_system(order.target)
        marker.write(order.target, Marker(marker.COMPLETE, digest, overlay))
    except OSError as error:
        raise Fault(kinds.NOT_DURABLE, target=order.target, error=error.strerror) from error
    return Restored(
        True,
        digest,
        counts.read_bytes,
        counts.unpacked_bytes,
        counts.entries,
        time.monotonic() - began,
        notes,
    )


def _make_ready(order: Order) -> bool:
    """Mark the target incomplete, then empty it where that is allowed; return whether it's an overlay."""
    found = state(order)
    ours = found is not None and not found.complete and not found.overlay
    overlay = order.existing == "overlay" and not ours
    try:
        marker.write(order.target, Marker(marker.INCOMPLETE, order.sha256, overlay))
        if not overlay:
            target.empty(order.target)
    except OSError as error:
        raise Fault(kinds.NOT_DURABLE, target=order.target, error=error.strerror) from error
    return overlay
