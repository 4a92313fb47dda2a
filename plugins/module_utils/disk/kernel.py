# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the kernel use the partition table that is on a disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ..faults import disk as kinds
from ..faults.fault import Fault
from ..runner import Runner
from . import sysfs
from .gpt import Gpt, GptEntry
from .nodes import partition_node

#: How long the kernel and udev may take for new partitions, in seconds.
NODE_TIMEOUT = 30.0
#: How often, and with which pause in seconds, nodes are looked for before the kernel is asked once more.
_TURNS = 20
_PAUSE = 0.1


def take_over(
    runner: Runner,
    node: str,
    wanted: Gpt,
    sector_bytes: int,
    root: Path = sysfs.ROOT,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Let the kernel have the table, and wait for the nodes of its partitions.

    Does nothing for an image file, which the kernel does not know. Raises ``disk.nodes_missing``.
    """
    if not sysfs.device_number(sysfs.kernel_name(node, root), root):
        return
    waited = 0.0
    highest = max((entry.number for entry in wanted.entries), default=1)
    while True:
        # udev reads the table anew each time that a writer closes the disk. It must have done so before
        # partx does the same: of two at once, each fails where the other has a partition open.
        _settle(runner)
        absent = missing(node, wanted, sector_bytes, root)
        if not absent:
            return
        if waited >= NODE_TIMEOUT:
            raise Fault(kinds.NODES_MISSING, node=node, seconds=f"{waited:.0f}", missing=", ".join(absent))
        # To read the whole table anew fails in the kernel while a partition is mounted; partx changes
        # only what differs. Its status 1 also says "nothing to do", or that it is worth another try. Left to itself it
        # looks at no number above the count of partitions (2, 3, 4 and 5: not at 5; measured, util-linux 2.41).
        runner.run(["partx", "--update", "--nr", f"1:{highest}", node], accept=(0, 1))
        _settle(runner)
        for _turn in range(_TURNS):
            # Nodes are made by udev or devtmpfs some moments after the kernel took over the table.
            if not missing(node, wanted, sector_bytes, root):
                return
            sleep(_PAUSE)
            waited += _PAUSE


def forget(
    runner: Runner,
    node: str,
    numbers: Collection[int],
    root: Path = sysfs.ROOT,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Let the kernel forget partitions that the table no longer has; nothing for an image file.

    ``take_over`` alone would leave one, and could not add what lies in its place. Raises ``disk.nodes_left``.
    """
    name = sysfs.kernel_name(node, root)
    if not numbers or not sysfs.device_number(name, root):
        return
    waited = 0.0
    while True:
        # Whoever writes to the disk and closes it makes udev look into each of its partitions, and the kernel deletes
        # none that is open.
        _settle(runner)
        left = _numbers(name, root) & set(numbers)
        if not left:
            return
        if waited >= NODE_TIMEOUT:
            nodes = ", ".join(partition_node(sysfs.node_of(name), number) for number in sorted(left))
            raise Fault(kinds.NODES_LEFT, node=node, seconds=f"{waited:.0f}", left=nodes)
        for number in sorted(left):
            # Status 1 also says that udev was faster, or that it is worth another try.
            runner.run(["partx", "--delete", "--nr", str(number), node], accept=(0, 1))
        if _numbers(name, root) & left:
            sleep(_PAUSE)
            waited += _PAUSE


def stale(node: str, table: Iterable[GptEntry], root: Path = sysfs.ROOT) -> list[int]:
    """Return the numbers of partitions that the kernel has and the table on the disk has not."""
    return sorted(_numbers(sysfs.kernel_name(node, root), root) - {entry.number for entry in table})


def _numbers(name: str, root: Path) -> set[int]:
    return {part.number for part in sysfs.partitions(name, root)}


def _settle(runner: Runner) -> None:
    runner.run(["udevadm", "settle", f"--timeout={NODE_TIMEOUT:.0f}"], accept=(0, 1))


def missing(node: str, wanted: Gpt, sector_bytes: int, root: Path) -> list[str]:
    """Return the nodes of partitions that the kernel does not have, or has elsewhere."""
    name = sysfs.kernel_name(node, root)
    known = {part.number: part for part in sysfs.partitions(name, root)}
    absent = []
    for entry in wanted.entries:
        device = partition_node(sysfs.node_of(name), entry.number)
        part = known.get(entry.number)
        same = part is not None and (part.start_bytes, part.size_bytes) == (
            entry.first_lba * sector_bytes,
            entry.sectors * sector_bytes,
        )
        if not same or not (root / device.lstrip("/")).exists():
            absent.append(device)
    return absent
