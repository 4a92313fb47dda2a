# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase load with a lifeboat: nothing is copied into memory, every part is checked where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..faults import lifeboat as lifeboat_kinds
from ..faults import stage_two as kinds
from ..faults.fault import Fault
from ..units import MIB, format_size
from . import resume, staging
from .work import Work

if TYPE_CHECKING:
    from ..lifeboat.model import Lifeboat, Part

#: Memory beside the files: decompressor window, tar, mkfs, LVM, a login session.
RESERVE_BYTES = 64 * MIB
#: Parts with a digest, in the order in which they are checked: the largest last.
_CHECKED = ("kernel", "initrd", "payload")
#: What of the host's own part must be found in it.
_HOST_FILES = ("plan.json", "capture.json", "lifeboat.json")
_CHUNK = 1 << 20


def run(work: Work, lifeboat: Lifeboat) -> None:
    work.step("memory", lambda: require_memory(work, 0))
    work.step("places", lambda: _require_places(work, lifeboat))
    work.step("parts", lambda: _check_parts(work, lifeboat))
    work.step("host", lambda: _check_host(work, lifeboat))
    # Only now: where the old system has given the lifeboat's file away meanwhile, its places hold others' data.
    work.step("journal", lambda: resume.begin(work, lifeboat), always=True)
    work.step("boot_path", lambda: _prepare(work, lifeboat))


def verify(work: Work, lifeboat: Lifeboat) -> None:
    """Raise unless the lifeboat starts next, and all that such a start reads can be read back; nothing is written."""
    work.parts.require_control(work.machine.runner, work.node, work.resolved, work.plan, lifeboat)
    work.parts.load_journal(work.node, lifeboat)
    _compare_host(work, lifeboat.part("host"))
    for name in _CHECKED:
        work.parts.verify_part(work.node, lifeboat.part(name), work.status.progress)


def require_memory(work: Work, files: int) -> None:
    """Raise ``stage_two.too_little_ram`` unless there is room for ``files`` bytes and the work itself."""
    work.machine.spare_memory()
    needed = files + RESERVE_BYTES
    available = work.machine.memory().available
    if available < needed:
        raise Fault(kinds.TOO_LITTLE_RAM, needed=format_size(needed), available=format_size(available))


def _require_places(work: Work, lifeboat: Lifeboat) -> None:
    """Make sure, before the first write, that no place has become somebody else's since it was staged."""
    where = work.plan["staging"]
    folder = work.machine.places.inside(work.machine.places.old, str(Path(where["directory"]).parent))
    device = staging.device(work.machine, where["uuid"])
    work.parts.require_places(work.node, lifeboat, work.plan["lifeboat"], folder, device)


def _check_parts(work: Work, lifeboat: Lifeboat) -> None:
    """Compare every part on the disk with its digest; bring what had to wait for the old system's swap."""
    total = sum(lifeboat.part(name).size for name in _CHECKED)
    done = 0
    for name in _CHECKED:
        part = lifeboat.part(name)
        before = done

        def progress(count: int, _size: int, before: int = before) -> None:
            work.status.progress(before + count, total)

        if in_swap(work, part):
            work.parts.write_part(work.node, part, _staged(work, part), progress)
        work.parts.verify_part(work.node, part, progress)
        done += part.size


def _check_host(work: Work, lifeboat: Lifeboat) -> None:
    """Make sure that a start from the lifeboat finds this very plan; the part cannot hold its own digest."""
    part = lifeboat.part("host")
    if in_swap(work, part):
        work.parts.write_part(work.node, part, _padded(_staged(work, part), part.size))
    _compare_host(work, part)


def _compare_host(work: Work, part: Part) -> None:
    content = work.parts.read_part(work.node, part)
    for name in _HOST_FILES:
        if (work.machine.places.configuration / name).read_bytes() not in content:
            raise Fault(lifeboat_kinds.DAMAGED, part="host", problem=f"it holds another {name} than this start")


def _prepare(work: Work, lifeboat: Lifeboat) -> None:
    work.parts.prepare_lifeboat(work.machine.runner, work.node, work.resolved, work.plan, lifeboat)


def in_swap(work: Work, part: Part) -> bool:
    """Tell whether a part lies in the old system's swap, which only stage two may write to."""
    swaps = [(int(start), int(start) + int(length)) for start, length in work.plan["lifeboat"]["swaps"]]
    return any(one.start < end and start < one.end for one in part.extents for start, end in swaps)


def _staged(work: Work, part: Part) -> Iterator[bytes]:
    """Yield the staged copy of a part; raises ``stage_two.file_damaged`` where there is none."""
    candidates = _candidates(work, part.name)
    there = [path for path in candidates if path.is_file()]
    if not there:
        raise Fault(kinds.FILE_DAMAGED, file=candidates[0].name, problem="it is not there")
    with open(there[0], "rb", buffering=0) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def _candidates(work: Work, name: str) -> list[Path]:
    old, directory = work.machine.places.old, work.plan["staging"]["directory"]
    folder = work.machine.places.inside(old, directory)
    if name == "payload":
        return [folder / Path(work.plan["payload"]["file"]).name]
    if name == "host":
        boot = work.machine.places.inside(old, staging.BOOT_FOLDER)
        return [boot / "host.cpio", folder / "host.cpio"]
    return staging.environment_candidates(old, directory, name, work.plan["environment"][name]["file"])


def _padded(source: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield a source and the zeros that bring it to ``size``; the kernel passes over zeros behind a cpio."""
    done = 0
    for chunk in source:
        done += len(chunk)
        yield chunk
    if done < size:
        yield bytes(size - done)
