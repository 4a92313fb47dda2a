# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeboat of one plan on a running old system: its ground, its places, and what fills them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..disk import identity, sysfs
from ..disk.read import Table, read_disk
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..probe.mounts import place_of
from ..runner import Runner
from ..units import KIB, align_up
from . import claim, model, stow
from .model import BLOCK, WHOLE, Extent, Lifeboat, Part, intersect, subtract

#: The description of the lifeboat: beside the staged files, and in the host's own part of the initramfs.
DOCUMENT = "lifeboat.json"
#: The host's part grows by its own description, which is known only when everything has its place.
_HOST_STEP = 64 * KIB
#: The first and the last bytes of a disk: boot code, tables and their copies.
_EDGE = 1 << 20


class Berth:
    """Places a plan's lifeboat; what is there already is kept, so the same question has the same answer."""

    def __init__(self, plan: Mapping[str, Any], ground: stow.Ground) -> None:
        self.plan = plan
        self.ground = ground
        self.allowed = _extents(plan["lifeboat"]["allowed"])

    def claim(self, host_bytes: int) -> None:
        """Get the room for parts whose host part has ``host_bytes``; raises ``Fault`` ``lifeboat.no_room``.

        Unpartitioned space comes first and swap last: what lies there waits for stage two.
        """
        sizes = self._sizes(host_bytes)
        needed = model.needed_bytes(sizes) - _total(self.ground.gaps)
        if needed <= 0 or self.ground.partition_start is None:
            return
        whole = sum(align_up(sizes[name], BLOCK) for name in WHOLE)
        elsewhere = max((one.length for one in (*self.ground.gaps, *self.ground.swaps)), default=0)
        claim.claim(
            self.ground.file,
            needed,
            self.allowed,
            self.ground.partition_start,
            least=max(needed - _total(self.ground.swaps), 0),
            whole=0 if elsewhere >= whole else whole,
        )

    def place(self, host_bytes: int) -> Lifeboat:
        """Return the lifeboat in the room that is claimed now; raises ``Fault`` ``lifeboat.no_room``."""
        sizes = self._sizes(host_bytes)
        held: Sequence[Extent] = ()
        if self.ground.partition_start is not None:
            needed = max(model.needed_bytes(sizes) - _total(self.ground.gaps), 0)
            # What a claim would keep of it: the places must not change by claiming them again.
            held = claim.choose(claim.held(self.ground.file, self.allowed, self.ground.partition_start), needed)
        places = model.place(sizes, [*self.ground.gaps, *held, *self.ground.swaps])
        digests = {**self.plan["environment"], "payload": self.plan["payload"]}
        parts = {
            name: Part(name, sizes[name], digests[name]["sha256"] if name in digests else "", places[name])
            for name in model.PARTS
        }
        disk = self.plan["disk"]
        return Lifeboat(self.plan["run_id"], self.plan["digest"], disk["size_bytes"], disk["sector_bytes"], parts)

    def missing_bytes(self) -> int:
        """Return what a claim has to take from the file system at least, beside what its file has by now."""
        file = self.ground.file
        held = file.stat().st_blocks * 512 if file.is_file() else 0
        elsewhere = _total(self.ground.gaps) + _total(self.ground.swaps)
        return max(int(self.plan["lifeboat"]["needed_bytes"]) - elsewhere - held, 0)

    def host_bytes(self, content_bytes: int) -> int:
        """Return the size of a host part of which ``content_bytes`` are known, its description not."""
        return align_up(content_bytes + _HOST_STEP // 2, _HOST_STEP)

    def _sizes(self, host_bytes: int) -> dict[str, int]:
        return model.sizes_of(self.plan, host_bytes)


def ground_of(runner: Runner, plan: Mapping[str, Any], folder: Path, root: Path = sysfs.ROOT) -> stow.Ground:
    """Return where the lifeboat of a plan may lie; ``folder`` will hold the file.

    Raises ``Fault`` ``disk.*`` where the disk is not surely the planned one, and
    ``lifeboat.place_taken`` where a planned gap is none.
    """
    node = identity.find(runner, plan["disk"], new_disk_guid=plan["layout"]["disk_guid"], root=root)
    ground = stow.Ground(
        node=node,
        partition_start=partition_start(runner, node, folder, root),
        file=folder / claim.FILE.name,
        gaps=_extents(plan["lifeboat"]["gaps"]),
        swaps=_extents(plan["lifeboat"]["swaps"]),
    )
    for gap in ground.gaps:
        user = user_of(node, gap, root)
        if user:
            raise Fault(kinds.PLACE_TAKEN, start=gap.start, end=gap.end, node=node, user=user)
    return ground


def ground_left(runner: Runner, lifeboat: Lifeboat | None, folder: Path, root: Path = sysfs.ROOT) -> stow.Ground | None:
    """Return the ground of a lifeboat whose plan is not at hand, as far as it is without doubt its own still."""
    place = place_of(runner, os.path.realpath(folder), root)
    if place is None or len(place.disks) != 1:
        return None
    node = sysfs.node_of(place.disks[0])
    gaps: list[Extent] = []
    if lifeboat is not None and sysfs.size_bytes(place.disks[0], root) == lifeboat.disk_bytes:
        extents = lifeboat.part("host").extents
        gaps = [one for one in extents if not user_of(node, one, root)]
    return stow.Ground(node, partition_start(runner, node, folder, root), folder / claim.FILE.name, tuple(gaps))


def partition_start(runner: Runner, node: str, folder: Path, root: Path = sysfs.ROOT) -> int | None:
    """Return the byte of the disk at which the file system of ``folder`` begins.

    ``None`` where it does not simply lie on a partition of that disk.
    """
    place = place_of(runner, os.path.realpath(folder), root)
    if place is None or place.stack != ("part",):
        return None
    disk = sysfs.kernel_name(node, root)
    name = sysfs.kernel_name(place.device, root)
    return next((part.start_bytes for part in sysfs.partitions(disk, root) if part.name == name), None)


def user_of(node: str, extent: Extent, root: Path = sysfs.ROOT) -> str:
    """Return what of the disk a place belongs to, empty where it is unpartitioned: to the kernel and in the table."""
    disk = sysfs.kernel_name(node, root)
    if subtract([extent], [Extent(_EDGE, sysfs.size_bytes(disk, root) - 2 * _EDGE)]):
        return "the edge of the disk"
    for part in sysfs.partitions(disk, root):
        if intersect([extent], [Extent(part.start_bytes, part.size_bytes)]):
            return f"partition {part.name}"
    return _owner_in_table(read_disk(node, root), extent)


def _owner_in_table(table: Table, extent: Extent) -> str:
    places = [(entry.number, entry.first_lba, entry.sectors) for entry in table.entries]
    if table.mbr and table.kind == "dos":
        places += [(entry.number, entry.first_lba, entry.sectors) for entry in table.mbr.entries]
    for number, first, sectors in places:
        if intersect([extent], [Extent(first * table.sector_bytes, sectors * table.sector_bytes)]):
            return f"partition {number} of the table"
    return ""


def read_document(folder: Path) -> Lifeboat | None:
    """Return the lifeboat that the staged files tell of, or None where they do not (or no longer rightly)."""
    with contextlib.suppress(OSError, ValueError, Fault):
        return Lifeboat.from_document(json.loads((folder / DOCUMENT).read_bytes()))
    return None


def write_document(folder: Path, lifeboat: Lifeboat) -> None:
    """Keep the description; it is there before the host's part is, so that this can always be found again."""
    write_file(folder / DOCUMENT, dump(lifeboat), 0o600)


def dump(lifeboat: Lifeboat) -> bytes:
    """Return the text of the description; the same lifeboat always gives the same."""
    return (json.dumps(lifeboat.to_document(), sort_keys=True, separators=(",", ":")) + "\n").encode("ascii")


def _extents(pairs: Sequence[Sequence[int]]) -> tuple[Extent, ...]:
    return tuple(Extent(int(start), int(length)) for start, length in pairs)


def _total(extents: Sequence[Extent]) -> int:
    return sum(one.length for one in extents)
