# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the whole partition table of a disk in one transaction, and reads it back.

What is wanted is a ``Gpt``; how it reaches the disk is one function (``_write``), so that a writer
that switches the table with one sector write can take its place. Other steps do not know which.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..faults import disk as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout, is_due
from ..runner import Runner
from ..units import MIB
from . import sysfs
from .gpt import Damaged, Gpt, GptEntry, parse_saved
from .nodes import partition_node
from .read import Table, read_disk
from .usage import uses

#: How long the kernel and udev may take for new partitions, in seconds.
NODE_TIMEOUT = 30.0

#: Old signatures lie in the first and last MiB of a device; both are zeroed in new partitions.
STALE_BYTES = MIB


@dataclass(frozen=True)
class Change:
    """``kind`` is ``none``, ``add`` (new partitions in free space) or ``replace`` (a new table)."""

    kind: str
    entries: tuple[GptEntry, ...]
    differences: tuple[str, ...]


def target(resolved: ResolvedLayout, upto: str) -> Gpt:
    """Return the table of a layout with the partitions that are due ``upto`` a moment."""
    return Gpt(
        resolved.disk_guid,
        tuple(
            GptEntry(
                number=part.number,
                type_guid=part.type_guid,
                uuid=part.uuid,
                first_lba=part.start_lba,
                last_lba=part.last_lba,
                attributes=sum(1 << bit for bit in part.attributes),
                name=part.name,
            )
            for part in resolved.partitions
            if is_due(part.at, upto)
        ),
    )


def saved(path: Path) -> tuple[Gpt, int]:
    """Return the table in a file of ``sgdisk --backup`` and its disk's sectors; ``disk.table_file``."""
    try:
        return parse_saved(path.read_bytes())
    except (OSError, Damaged) as error:
        raise Fault(kinds.TABLE_FILE, path=path, reason=error) from error


def plan_change(found: Table, wanted: Gpt, later: Sequence[GptEntry] = ()) -> Change:
    """Return the smallest change that makes ``wanted``; entries of ``later`` may be there already."""
    if found.gpt is None or found.problems or found.gpt.disk_guid.upper() != wanted.disk_guid.upper():
        what = "; ".join(found.problems) or f"table {found.kind} {found.table_id}".strip()
        return Change("replace", wanted.entries, (f"{what} instead of GPT {wanted.disk_guid}",))
    allowed = {entry.number: _comparable(entry) for entry in (*later, *wanted.entries)}
    differences = tuple(
        f"partition {entry.number} {entry.name!r} at {entry.first_lba}-{entry.last_lba}"
        for entry in found.entries
        if allowed.get(entry.number) != _comparable(entry)
    )
    if differences:
        return Change("replace", wanted.entries, differences)
    there = {entry.number for entry in found.entries}
    missing = tuple(entry for entry in wanted.entries if entry.number not in there)
    return Change("add" if missing else "none", missing, ())


def sgdisk_argv(node: str, change: Change, wanted: Gpt) -> list[str]:
    """Return the one command that makes a change: sgdisk writes once, after its last option."""
    argv = ["sgdisk"]
    if change.kind == "replace":
        # On a disk with an MBR, sgdisk saves nothing unless the conversion is asked for.
        argv += ["--clear", "--mbrtogpt", f"--disk-guid={wanted.disk_guid}"]
    argv.append("--set-alignment=1")
    for entry in change.entries:
        number = entry.number
        argv += [
            f"--new={number}:{entry.first_lba}:{entry.last_lba}",
            f"--typecode={number}:{entry.type_guid}",
            f"--partition-guid={number}:{entry.uuid}",
            f"--change-name={number}:{entry.name}",
        ]
        argv += [f"--attributes={number}:set:{bit}" for bit in entry.attribute_bits]
    return [*argv, node]


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
    disk that nothing uses. Raises ``Fault`` ``disk.*``.
    """
    require_geometry(node, read_disk(node, root), resolved.disk_bytes, resolved.sector_bytes)
    later = target(resolved, "commit").entries
    wanted = target(resolved, upto)
    return apply_table(runner, node, wanted, later=later, relabel=relabel, root=root, sleep=sleep)


def apply_table(
    runner: Runner,
    node: str,
    wanted: Gpt,
    *,
    later: Sequence[GptEntry] = (),
    relabel: bool = False,
    root: Path = sysfs.ROOT,
    sleep: Callable[[float], None] = time.sleep,
) -> Change:
    """Make the table ``wanted`` on the disk at ``node``; the same rules as ``apply``."""
    found = read_disk(node, root)
    change = plan_change(found, wanted, later)
    if change.kind == "none":
        # The kernel may still have another table: an earlier try can have ended between the two.
        if _not_taken_over(node, wanted, found.sector_bytes, root):
            _take_over_disk(runner, node, wanted, found.sector_bytes, root, sleep)
        return change
    check_change(runner, node, found, change, relabel=relabel, root=root)
    _clear_stale(root / node.lstrip("/"), change.entries, found.sector_bytes)
    _write(runner, node, change, wanted)
    _take_over_disk(runner, node, wanted, found.sector_bytes, root, sleep)
    left = plan_change(read_disk(node, root), wanted, later)
    if left.kind != "none":
        shown = left.differences or tuple(f"partition {one.number} is missing" for one in left.entries)
        raise Fault(kinds.READ_BACK, node=node, differences="; ".join(shown))
    return change


def check_change(
    runner: Runner, node: str, found: Table, change: Change, *, relabel: bool, root: Path = sysfs.ROOT
) -> None:
    """Raise the ``Fault`` for which a change must not be made, if there is one."""
    if change.kind == "none":
        return
    if change.kind == "add":
        _require_free(node, found, change)
        return
    held = uses(node, root)
    if held:
        raise Fault(kinds.IN_USE, node=node, uses=", ".join(map(str, held)))
    if relabel:
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


def take_over(
    runner: Runner,
    node: str,
    wanted: Gpt,
    sector_bytes: int,
    *,
    root: Path = sysfs.ROOT,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Make the kernel use the table on the disk, and wait for the nodes of its partitions."""
    # sgdisk asks the kernel to read the whole table, which fails while a partition is mounted;
    # partx changes only what differs. Its status 1 also says "nothing to do".
    runner.run(["partx", "--update", node], accept=(0, 1))
    runner.run(["udevadm", "settle", f"--timeout={NODE_TIMEOUT:.0f}"], accept=(0, 1))
    waited = 0.0
    while True:
        missing = _not_taken_over(node, wanted, sector_bytes, root)
        if not missing:
            return
        if waited >= NODE_TIMEOUT:
            raise Fault(kinds.NODES_MISSING, node=node, seconds=f"{waited:.0f}", missing=", ".join(missing))
        # Nodes are made by udev or devtmpfs some moments after the kernel took over the table.
        sleep(0.1)
        waited += 0.1


def _take_over_disk(
    runner: Runner, node: str, wanted: Gpt, sector_bytes: int, root: Path, sleep: Callable[[float], None]
) -> None:
    """Take the table over, unless the node is an image file, which the kernel does not know."""
    if sysfs.device_number(sysfs.kernel_name(node, root), root):
        take_over(runner, node, wanted, sector_bytes, root=root, sleep=sleep)


def _not_taken_over(node: str, wanted: Gpt, sector_bytes: int, root: Path) -> list[str]:
    name = sysfs.kernel_name(node, root)
    known = {part.number: part for part in sysfs.partitions(name, root)}
    missing = []
    for entry in wanted.entries:
        device = partition_node(sysfs.node_of(name), entry.number)
        part = known.get(entry.number)
        same = part is not None and (part.start_bytes, part.size_bytes) == (
            entry.first_lba * sector_bytes,
            entry.sectors * sector_bytes,
        )
        if not same or not (root / device.lstrip("/")).exists():
            missing.append(device)
    return missing


def _write(runner: Runner, node: str, change: Change, wanted: Gpt) -> None:
    runner.run(sgdisk_argv(node, change, wanted))


def _clear_stale(path: Path, entries: Sequence[GptEntry], sector_bytes: int) -> None:
    """Zero the ends of new partitions before the table names them.

    Otherwise udev finds an ancient signature there and starts, for example, a volume group.
    """
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


def _require_free(node: str, found: Table, change: Change) -> None:
    for entry in change.entries:
        for other in found.entries:
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
