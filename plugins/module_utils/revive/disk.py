# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stage two does to the disk of a restore: take the converted table down, make the old root, put sectors back."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..boot import grub_bios
from ..disk import sysfs
from ..faults import boot as boot_kinds
from ..faults import revive as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ..runner import Runner

_SECTOR = 512


def make_argv(device: str, root: Mapping[str, Any], *, dry: bool = False) -> list[str]:
    """Return the command that makes the old root again; ``dry`` computes everything and writes nothing (mke2fs(8))."""
    quiet = ["-n"] if dry else ["-q"]
    return ["mkfs.ext4", *quiet, "-F", *root["options"], device, str(root["blocks"])]


def check(runner: Runner, node: str, resolved: ResolvedLayout, old: Mapping[str, Any]) -> None:
    """Raise, while nothing is changed, what the phases after the point of no return would raise too late."""
    from ..disk.signatures import check as check_groups

    check_groups(runner, node, [group.name for group in resolved.volume_groups])
    root = old["root"]
    # Not on the disk itself: its volume groups are active, and mke2fs opens for itself alone, with -n as well.
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch, "root")
        image.touch()
        os.truncate(image, root["blocks"] * root["block_bytes"])
        runner.run(make_argv(str(image), root, dry=True))


def deactivate(runner: Runner, resolved: ResolvedLayout) -> None:
    """Deactivate the volume groups of the converted disk; those that are not active stay so."""
    for group in resolved.volume_groups:
        # 5: there is no such group, as before commit (lvm(8) has no list of them; ECMD_FAILED of its sources).
        runner.run(["lvm", "vgchange", "--activate", "n", group.name], accept=(0, 5))


def clear(node: str, places: Sequence[Sequence[int]]) -> None:
    """Overwrite what would outlive the old table.

    The kernel keeps the partitions of the converted disk until the restart. They are in nobody's way: nothing holds
    them, and after a cut it has them anyhow, because their table goes with the last sectors only.
    """
    for start, length in places:
        grub_bios.write_through(node, start, bytes(length))


def map_root(runner: Runner, node: str, name: str, place: Mapping[str, Any], *, root: Path = sysfs.ROOT) -> None:
    """Give the old root's place on the disk a device of its own, unless it has one (dmsetup(8), target linear)."""
    if (root / "dev/mapper" / name).exists():
        return
    table = f"0 {place['length'] // _SECTOR} linear {node} {place['start'] // _SECTOR}"
    runner.run(["dmsetup", "create", name, "--table", table])


def unmap_root(runner: Runner, name: str, *, root: Path = sysfs.ROOT) -> None:
    """Take that device away again."""
    if (root / "dev/mapper" / name).exists():
        runner.run(["dmsetup", "remove", "--retry", name])


def piece(folder: Path, number: int, wanted: Mapping[str, Any]) -> bytes:
    """Return sectors of the old disk as they were staged; raises ``revive.piece_damaged``."""
    try:
        content = (folder / f"{number}.bin").read_bytes()
    except OSError as error:
        raise Fault(kinds.PIECE_DAMAGED, piece=f"{number}.bin: {error.strerror}") from error
    if len(content) != wanted["length"] or hashlib.sha256(content).hexdigest() != wanted["sha256"]:
        raise Fault(kinds.PIECE_DAMAGED, piece=f"{number}.bin, {wanted['file']}")
    return content


def put_back(node: str, start: int, content: bytes) -> None:
    """Write whole sectors in one write, and read them back; raises ``boot.write_failed``."""
    grub_bios.write_through(node, start, content)
    if grub_bios.read_through(node, start, len(content)) != content:
        raise Fault(boot_kinds.WRITE_FAILED, node=node, sector=start // _SECTOR, problem="it reads back different")
