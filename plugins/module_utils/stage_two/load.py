# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase load: bring the payload into memory, checked, before anything is written to the disk."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..archive.durable import write_all
from ..faults import stage_two as kinds
from ..faults.fault import Fault
from ..units import MIB, align_up
from . import load_lifeboat, mounting, revive_mode, staging
from .work import Work

_CHUNK = 1 << 20


def run(work: Work) -> None:
    if work.past_return:
        return
    if work.lifeboat is not None:
        load_lifeboat.run(work, work.lifeboat)
        return
    work.step("memory", lambda: check_memory(work))
    work.step("room", lambda: make_room(work), always=True)
    work.step("payload", lambda: copy_payload(work))
    if not revive_mode.is_restore(work.plan):
        work.step("environment", lambda: copy_environment(work))


def file_bytes(plan: Any) -> int:
    """Return the bytes that go into memory: the payload, and the recovery system's two files.

    A system that is brought back from its archive has no recovery system.
    """
    if revive_mode.is_restore(plan):
        return int(plan["payload"]["size"])
    parts = plan["environment"]
    return int(plan["payload"]["size"]) + sum(int(parts[name]["size"]) for name in staging.BOOT_NAMES)


def check_memory(work: Work) -> None:
    load_lifeboat.require_memory(work, file_bytes(work.plan))


def make_room(work: Work) -> None:
    """Mount a memory file system of the size that is needed, no larger."""
    size = align_up(file_bytes(work.plan), MIB) + MIB
    options = f"size={size},mode=0700,nosuid,nodev,noexec"
    mounting.mount(work.machine, "payload", work.machine.places.payload, "tmpfs", options)


def payload_file(work: Work) -> Path:
    """Return the payload in memory."""
    return work.machine.places.payload / Path(work.plan["payload"]["file"]).name


def copy_payload(work: Work) -> None:
    places = work.machine.places
    payload = work.plan["payload"]
    folder = places.inside(places.old, work.plan["staging"]["directory"])
    source = folder / Path(payload["file"]).name
    copy_checked(source, payload_file(work), payload, work.status.progress)


def copy_environment(work: Work) -> None:
    """Keep the convert kernel and initrd: they become the recovery system."""
    places = work.machine.places
    for part, name in staging.BOOT_NAMES.items():
        wanted = work.plan["environment"][part]
        candidates = staging.environment_candidates(places.old, work.plan["staging"]["directory"], part, wanted["file"])
        there = [path for path in candidates if path.is_file()] or candidates[:1]
        for path in there:
            try:
                copy_checked(path, places.payload / name, wanted)
                break
            except Fault:
                # A leftover of another run must not hide the right file in the other place.
                if path == there[-1]:
                    raise


def copy_checked(source: Path, target: Path, wanted: Any, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a file, and compare the digest of the copied bytes with ``wanted["sha256"]``."""
    size = int(wanted["size"])
    try:
        with open(source, "rb", buffering=0) as reader:
            found = os.fstat(reader.fileno()).st_size
            if found != size:
                problem = f"it has {found} bytes instead of {size}"
                raise Fault(kinds.FILE_DAMAGED, file=source.name, problem=problem)
            digest = _copy(reader.fileno(), target, size, progress)
    except OSError as error:
        problem = f"it cannot be read: {error.strerror}"
        raise Fault(kinds.FILE_DAMAGED, file=source.name, problem=problem) from error
    if digest != wanted["sha256"]:
        target.unlink()
        problem = f"its digest is {digest} instead of {wanted['sha256']}"
        raise Fault(kinds.FILE_DAMAGED, file=source.name, problem=problem)


def _copy(reader: int, target: Path, size: int, progress: Callable[[int, int], None] | None) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK))
    done = 0
    writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while count := os.readv(reader, [buffer]):
            digest.update(buffer[:count])
            write_all(writer, buffer[:count])
            done += count
            if progress:
                progress(done, size)
    finally:
        os.close(writer)
    return digest.hexdigest()
