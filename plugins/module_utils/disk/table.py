# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the partition table of a disk as it is wanted: what has to change, whether it may, and that it did.

How it reaches the disk is ``switch``: one sector write, after which the new table counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faults import disk as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout, ResolvedPartition, is_due
from ..runner import Runner
from ..units import MIB
from . import kernel, raw, switch, sysfs
from .gpt import Damaged, Gpt, GptEntry, parse_saved
from .nodes import partition_node
from .read import Table, read_disk
from .usage import uses

#: Old signatures lie in the first and last MiB of a device; both are zeroed in new partitions.
STALE_BYTES = MIB


@dataclass(frozen=True)
class Change:
    """``kind`` is ``none``, ``add`` (new partitions in free space), ``mend`` (both copies of the same table
    again), ``retire`` (``leaving`` go, and what is new may lie in their place) or ``replace`` (a new table)."""

    kind: str
    entries: tuple[GptEntry, ...]
    differences: tuple[str, ...]
    leaving: tuple[GptEntry, ...] = ()


def target(resolved: ResolvedLayout, upto: str) -> Gpt:
    """Return the table of a layout with the partitions that are there when all ``upto`` a moment is made."""
    return Gpt(resolved.disk_guid, tuple(_entry(part) for part in resolved.partitions_at(upto)))


def retired(resolved: ResolvedLayout, upto: str) -> tuple[GptEntry, ...]:
    """Return the partitions of the old system that stay until ``commit`` and go then."""
    return tuple(_entry(part) for part in resolved.until_commit) if is_due("commit", upto) else ()


def _entry(part: ResolvedPartition) -> GptEntry:
    return GptEntry(
        number=part.number,
        type_guid=part.type_guid,
        uuid=part.uuid,
        first_lba=part.start_lba,
        last_lba=part.last_lba,
        attributes=sum(1 << bit for bit in part.attributes),
        name=part.name,
    )


def saved(path: Path) -> tuple[Gpt, int]:
    """Return the table in a file of ``sgdisk --backup`` and its disk's sectors; ``disk.table_file``."""
    try:
        return parse_saved(path.read_bytes())
    except (OSError, Damaged) as error:
        raise Fault(kinds.TABLE_FILE, path=path, reason=error) from error


def plan_change(found: Table, wanted: Gpt, later: Sequence[GptEntry] = (), retire: Sequence[GptEntry] = ()) -> Change:
    """Return the smallest change that makes ``wanted``; entries of ``later`` may be there already, of ``retire`` still.

    A table that is right but for one copy is mended, also in use: a switch that was cut leaves such a one.
    """
    if found.gpt is None or found.gpt.disk_guid.upper() != wanted.disk_guid.upper():
        what = "; ".join(found.problems) or f"table {found.kind} {found.table_id}".strip()
        return Change("replace", wanted.entries, (f"{what} instead of GPT {wanted.disk_guid}",))
    allowed = {entry.number: _comparable(entry) for entry in (*later, *wanted.entries)}
    going = {entry.number: _comparable(entry) for entry in retire}
    leaving = tuple(entry for entry in found.entries if going.get(entry.number) == _comparable(entry))
    differences = tuple(
        f"partition {entry.number} {entry.name!r} at {entry.first_lba}-{entry.last_lba}"
        for entry in found.entries
        if entry not in leaving and allowed.get(entry.number) != _comparable(entry)
    )
    if differences:
        return Change("replace", wanted.entries, differences)
    there = {entry.number for entry in found.entries}
    missing = tuple(entry for entry in wanted.entries if entry.number not in there)
    if leaving:
        return Change("retire", missing, found.problems, leaving)
    if missing:
        return Change("add", missing, found.problems)
    return Change("mend" if found.problems else "none", (), found.problems)


def changed(found: Table, change: Change, wanted: Gpt) -> Gpt:
    """Return the whole table after a change."""
    kept = () if change.kind == "replace" else [entry for entry in found.entries if entry not in change.leaving]
    return Gpt(wanted.disk_guid, tuple(sorted((*kept, *change.entries), key=lambda entry: entry.number)))


def apply(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    upto: str,
    *,
    relabel: bool = False,
    root: Path = sysfs.ROOT,
    sleep: Callable[[float], None] = time.sleep,
) -> Change:
    """Make the table of a layout on the disk at ``node``; returns what had to be changed.

    Adds partitions even to a disk in use. Replaces a table only with ``relabel`` and only on a
    disk that nothing uses; a partition that is the same in the old and the new table keeps its content.
    Raises ``Fault`` ``disk.*``.
    """
    require_geometry(node, read_disk(node, root), resolved.disk_bytes, resolved.sector_bytes)
    later = target(resolved, "commit").entries
    wanted, retire = target(resolved, upto), retired(resolved, upto)
    # Their content is the old system's, whatever the old table called them and however long they were there.
    content = frozenset(part.start_lba for part in resolved.until_commit) if not retire else frozenset()
    return apply_table(
        runner,
        node,
        wanted,
        later=later,
        retire=retire,
        content=content,
        relabel=relabel,
        root=root,
        sleep=sleep,
    )


def apply_table(
    runner: Runner,
    node: str,
    wanted: Gpt,
    *,
    later: Sequence[GptEntry] = (),
    retire: Sequence[GptEntry] = (),
    content: Collection[int] = (),
    relabel: bool = False,
    root: Path = sysfs.ROOT,
    sleep: Callable[[float], None] = time.sleep,
) -> Change:
    """Make the table ``wanted`` on the disk at ``node``; the same rules as ``apply``.

    Partitions that begin at a sector of ``content`` are new in the table and not on the disk.
    """
    found = read_disk(node, root)
    change = plan_change(found, wanted, later, retire)
    if change.kind == "none":
        # The kernel may still have another table: an earlier try can have ended between the two.
        gone = kernel.stale(node, found.entries, root) if found.kind == "gpt" else []
        if gone or kernel.missing(node, wanted, found.sector_bytes, root):
            kernel.forget(runner, node, gone, root, sleep)
            kernel.take_over(runner, node, wanted, found.sector_bytes, root, sleep)
        return change
    check_change(runner, node, found, change, relabel=relabel, root=root)
    path = root / node.lstrip("/")
    whole = changed(found, change, wanted)
    planned = _planned(node, path, found, whole, change)
    kept = {_comparable(entry)[:4] for entry in found.entries}
    new = [one for one in change.entries if _comparable(one)[:4] not in kept and one.first_lba not in content]
    _clear_stale(path, new, found.sector_bytes)
    switch.perform(path, planned, found.sector_bytes)
    _require_written(node, path, whole, found)
    kernel.forget(runner, node, [entry.number for entry in change.leaving], root, sleep)
    kernel.take_over(runner, node, wanted, found.sector_bytes, root, sleep)
    left = plan_change(read_disk(node, root), wanted, later, retire)
    if left.kind != "none":
        shown = left.differences or tuple(f"partition {one.number} is missing" for one in left.entries)
        raise Fault(kinds.READ_BACK, node=node, differences="; ".join(shown))
    return change


def check_change(
    runner: Runner, node: str, found: Table, change: Change, *, relabel: bool, root: Path = sysfs.ROOT
) -> None:
    """Raise the ``Fault`` for which a change must not be made, if there is one."""
    if change.kind in ("none", "mend"):
        return
    kept = [one for one in found.entries if one not in change.leaving] if change.kind in ("add", "retire") else []
    switch.require_room(node, (*kept, *change.entries), found.size_bytes // found.sector_bytes, found.sector_bytes)
    if change.kind in ("add", "retire"):
        _require_free(node, kept, change)
        going = {partition_node(node, entry.number) for entry in change.leaving}
        held = [use for use in uses(node, root) if use.node in going] if going else []
    else:
        held = uses(node, root)
    if held:
        raise Fault(kinds.IN_USE, node=node, uses=", ".join(map(str, held)))
    if relabel or change.kind != "replace":
        return
    content = found.kind if found.kind != "none" else _signature(runner, node)
    if content:
        raise Fault(
            kinds.RELABEL_REFUSED,
            node=node,
            found=f"a {content} table" if found.kind != "none" else content,
            differences="; ".join(change.differences),
        )


def require_geometry(node: str, found: Table, disk_bytes: int, sector_bytes: int) -> None:
    """Raise ``disk.wrong_geometry`` unless a disk has exactly the size that was planned for."""
    if (found.size_bytes, found.sector_bytes) != (disk_bytes, sector_bytes):
        raise Fault(
            kinds.WRONG_GEOMETRY,
            node=node,
            found_bytes=found.size_bytes,
            found_sector=found.sector_bytes,
            wanted_bytes=disk_bytes,
            wanted_sector=sector_bytes,
        )


def _planned(node: str, path: Path, found: Table, whole: Gpt, change: Change) -> tuple[switch.Write, ...]:
    """Return the writes of the switch, before anything is changed."""
    size = found.sector_bytes
    try:
        with raw.opened(path) as handle:
            return switch.writes(
                node,
                lambda lba, count: raw.read_at(handle, lba * size, count * size),
                whole,
                found.size_bytes // size,
                size,
                replace_record=change.kind == "replace",
            )
    except OSError as error:
        raise Fault(kinds.UNREADABLE, node=node, error=error.strerror or error) from error


def _require_written(node: str, path: Path, whole: Gpt, found: Table) -> None:
    """Raise ``disk.read_back`` unless Linux, GRUB and UEFI firmware all find the new table on the disk."""
    try:
        problems = switch.read_back(path, whole, found.size_bytes // found.sector_bytes, found.sector_bytes)
    except OSError as error:
        raise Fault(kinds.UNREADABLE, node=node, error=error.strerror or error) from error
    if problems:
        raise Fault(kinds.READ_BACK, node=node, differences="; ".join(problems))


def _clear_stale(path: Path, entries: Sequence[GptEntry], sector_bytes: int) -> None:
    """Zero the ends of new partitions before the table names them.

    Otherwise udev finds an ancient signature there and starts, for example, a volume group.
    """
    if not entries:
        return
    try:
        with path.open("r+b") as stream:
            for entry in entries:
                start, length = entry.first_lba * sector_bytes, entry.sectors * sector_bytes
                for offset in (start, start + length - min(STALE_BYTES, length)):
                    stream.seek(offset)
                    stream.write(bytes(min(STALE_BYTES, length)))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise Fault(kinds.UNWRITABLE, node=path, error=error.strerror or error) from error


def _require_free(node: str, kept: Sequence[GptEntry], change: Change) -> None:
    for entry in change.entries:
        for other in kept:
            if entry.first_lba <= other.last_lba and other.first_lba <= entry.last_lba:
                raise Fault(kinds.OVERLAP, node=node, number=entry.number, other=other.number)


def _signature(runner: Runner, node: str) -> str:
    """Return what blkid finds on a disk without a table, for example a file system; empty for nothing."""
    done = runner.run(["blkid", "-p", "-o", "export", node], accept=(0, 2))
    lines = dict(line.split("=", 1) for line in done.text.splitlines() if "=" in line)
    return lines.get("TYPE", lines.get("PTTYPE", ""))


def _comparable(entry: GptEntry) -> tuple[int, int, str, str, int, str]:
    return (
        entry.first_lba,
        entry.last_lba,
        entry.type_guid.upper(),
        entry.uuid.upper(),
        entry.attributes,
        entry.name,
    )
