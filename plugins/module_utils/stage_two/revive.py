# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The phases of a restore: the old system comes back from its archive, with its table, its UUIDs and its boot code.

The old root is made and filled behind a mapping of the whole disk, not on a partition: the old table is the last that
is written, together with the old boot code, in the one write of LBA 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..archive import marker
from ..archive.durable import sync_file_system, write_file
from ..revive.finish import UNFINISHED
from . import attach, await_go, load, mounting, partition, restore, result
from .configure import run_folder
from .work import Work

#: The name of the mapping of the old root's place.
NAME = "dualroot-old-root"
DEVICE = f"/dev/mapper/{NAME}"
#: Folder of the sectors that are put back, in the host's part of the initramfs.
PIECES = "old"


def await_(work: Work) -> None:
    """Make every computation of what follows once, wait for the go, and let go of the disk."""
    if work.past_return:
        return
    work.step("rehearse", lambda: _rehearse(work), always=True)
    if work.plan["attended"]:
        work.step("go", lambda: await_go.wait_for_go(work))
    else:
        work.skip("go", "this run is unattended")
    work.step("release", lambda: _release(work), always=True)


def _rehearse(work: Work) -> None:
    attach.find_disk(work)
    for number, piece in enumerate(work.plan["old"]["pieces"]):
        work.parts.old_piece(work.machine.places.configuration / PIECES, number, piece)
    work.parts.check_revival(work.machine.runner, work.node, work.resolved, work.plan["old"])
    root = work.plan["old"]["root"]
    work.status.show(f"would make the old root {root['uuid']} again on {work.node}")


def _release(work: Work) -> None:
    mounting.unmount(work.machine, work.machine.places.old)
    work.parts.deactivate(work.machine.runner, work.resolved)
    await_go.release(work)


def partition_(work: Work) -> None:
    """Take down what stands on the disk; its table stays until LBA 0 is written."""
    runner, old = work.machine.runner, work.plan["old"]
    work.step("no_return", lambda: partition.pass_return(work))
    work.step("signatures", lambda: work.parts.tear_down(runner, work.node, (), ()))
    work.step("table", lambda: work.parts.clear(work.node, old["cleared"]))


def volumes(work: Work) -> None:
    """Make the old root's file system as it was: UUID, label, features, size."""
    runner, root = work.machine.runner, work.plan["old"]["root"]
    work.step("map", lambda: work.parts.map_root(runner, work.node, NAME, root), always=True)
    # Whole or not at all: what a cut left of a half made one is made anew.
    work.step("volumes", lambda: work.parts.make_old_root(runner, DEVICE, root))
    work.step("settle", work.machine.settle)


def restore_(work: Work) -> None:
    if work.lifeboat is not None and work.begun("restore"):
        work.step("fresh", lambda: _make_fresh(work), always=True)
    work.step("mount", lambda: _mount(work), always=True)
    work.step("restore", lambda: restore.restore(work))
    if work.lifeboat is None:
        work.step("free_memory", lambda: restore.free_memory(work))


def _make_fresh(work: Work) -> None:
    """Make the file system once more: what a cut left of a half restore is not worth to be looked at."""
    mounting.unmount(work.machine, work.machine.places.new)
    work.parts.make_old_root(work.machine.runner, DEVICE, work.plan["old"]["root"])


def _mount(work: Work) -> None:
    mounting.mount(work.machine, DEVICE, work.machine.places.new, "ext4", "noatime")


def configure(work: Work) -> None:
    """Nothing: the old system comes back as it was."""


def boot(work: Work) -> None:
    """Put back what the old boot code reads: all sectors outside of the root but LBA 0."""
    work.step("sectors", lambda: _put_back(work, lambda piece: piece["start"] and not _is_inside(work, piece)))


def seal(work: Work) -> None:
    work.step("mount", lambda: _mount(work), always=True)
    work.step("marker", lambda: marker.remove(work.machine.places.new))
    work.step("result", lambda: write_results(work), always=True)
    work.step("unmount", lambda: _unmount(work), always=True)
    # The boot block before the superblock, which mkfs has cleared.
    work.step("boot_block", lambda: _put_back(work, lambda piece: piece["start"] and _is_inside(work, piece)))
    work.step("switch", lambda: _put_back(work, lambda piece: not piece["start"]))
    work.status.show("the old system starts next", state="sealed", percent=100)


def write_results(work: Work) -> None:
    """Leave the evidence with the old system."""
    folder = run_folder(work)
    staged = work.machine.places.configuration / "plan.json"
    write_file(folder / "plan.json", staged.read_bytes(), 0o600)
    if work.lifeboat is not None:
        write_file(folder / UNFINISHED, b"", 0o600)
    result.write(work, folder, result.document(work, "restored"))


def _unmount(work: Work) -> None:
    if str(work.machine.places.new) in mounting.mounted(work.machine):
        sync_file_system(work.machine.places.new)
    mounting.unmount(work.machine, work.machine.places.new)
    work.parts.unmap_root(work.machine.runner, NAME)


def _is_inside(work: Work, piece: Mapping[str, Any]) -> bool:
    root = work.plan["old"]["root"]
    return bool(root["start"] <= piece["start"] < root["start"] + root["length"])


def _put_back(work: Work, wanted: Callable[[Mapping[str, Any]], Any]) -> None:
    for number, piece in _chosen(work, wanted):
        folder: Path = work.machine.places.configuration / PIECES
        work.parts.put_back(work.node, piece["start"], work.parts.old_piece(folder, number, piece))


def _chosen(work: Work, wanted: Callable[[Mapping[str, Any]], Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    return ((number, piece) for number, piece in enumerate(work.plan["old"]["pieces"]) if wanted(piece))


#: The phases of ``phases.STAGE_TWO_PHASES`` where the plan is that of a restore.
RUN: dict[str, Callable[[Work], None]] = {
    "attach": attach.run,
    "load": load.run,
    "await": await_,
    "partition": partition_,
    "volumes": volumes,
    "restore": restore_,
    "configure": configure,
    "boot": boot,
    "seal": seal,
}
