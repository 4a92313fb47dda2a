# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeboat's boot path on a BIOS host: boot sector, core image, block lists; no table, no file system.

The core image lies in the lifeboat's part ``core``, with its configuration inside. GRUB takes the disk that
the BIOS started as ``$root``, so that the path does not depend on the order of the disks.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..faults import boot as kinds
from ..faults.fault import Fault
from ..lifeboat.model import Lifeboat
from ..runner import Runner
from . import grub_bios, lifeboat_entry

if TYPE_CHECKING:
    from ..layout.model import ResolvedLayout

Plan = Mapping[str, Any]

MODULES = ("biosdisk", *lifeboat_entry.MODULES)
#: A prefix without a device: GRUB then takes the disk it was started from (``grub_set_prefix_and_root``).
PREFIX = "/dualroot"

#: The last block of the part proves that the core before it is whole: magic, its bytes, its SHA-256.
_PROOF = struct.Struct("<16sQ32s")
_PROOF_BLOCK = 4096
_MAGIC = b"dualroot core 1\n"


def prepare_lifeboat(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    lifeboat: Lifeboat,
    *,
    grub_dir: Path = grub_bios.GRUB_DIRECTORY,
) -> None:
    """Build the core image for this lifeboat and write it into its part ``core``; read it back.

    Raises ``Fault`` ``boot.sector_size``, ``boot.no_boot_record``, ``boot.lifeboat_core``, ``boot.write_failed``.
    """
    if resolved.sector_bytes != grub_bios.SECTOR:
        raise Fault(kinds.SECTOR_SIZE, sector_bytes=resolved.sector_bytes)
    grub_bios.boot_image(grub_dir)
    grub_bios.boot_record(node)
    place = lifeboat.part("core").extents[0]
    core = grub_bios.build_core(runner, grub_dir, PREFIX, lifeboat_entry.config(plan, lifeboat), MODULES)
    placed = grub_bios.place_core(core, place.start // grub_bios.SECTOR)
    room = place.length - _PROOF_BLOCK
    if len(placed) > room:
        raise _broken(node, lifeboat, f"it takes {len(placed)} bytes of {room}")
    proof = _PROOF.pack(_MAGIC, len(placed), hashlib.sha256(placed).digest())
    whole = placed.ljust(room, b"\0") + proof.ljust(_PROOF_BLOCK, b"\0")
    if grub_bios.read_through(node, place.start, len(whole)) == whole:
        return
    grub_bios.write_through(node, place.start, whole)
    _require_core(node, lifeboat)


def take_control(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    lifeboat: Lifeboat,
    *,
    grub_dir: Path = grub_bios.GRUB_DIRECTORY,
) -> None:
    """Write the boot code for the lifeboat's core into LBA 0, whose bytes from 440 on stay; read it back.

    Raises ``Fault`` ``boot.lifeboat_core`` or ``boot.no_boot_record`` before the write, and
    ``boot.write_failed`` after it.
    """
    _require_core(node, lifeboat)
    grub_bios.change_boot_code(node, grub_dir, _core_lba(lifeboat), grub_bios.boot_record(node))


def require_control(
    runner: Runner,
    node: str,
    resolved: ResolvedLayout,
    plan: Plan,
    lifeboat: Lifeboat,
    *,
    grub_dir: Path = grub_bios.GRUB_DIRECTORY,
) -> None:
    """Raise ``boot.lifeboat_core`` or ``boot.no_boot_record`` unless LBA 0 leads to a core that is whole."""
    _require_core(node, lifeboat)
    present = grub_bios.boot_record(node)
    if present != grub_bios.boot_sector(grub_bios.boot_image(grub_dir), _core_lba(lifeboat), present):
        raise _broken(node, lifeboat, "the boot sector does not lead there")


def in_control(resolved: ResolvedLayout) -> bool:
    """Always, where it runs: LBA 0 is the only way to it."""
    return True


def withdraw(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """Nothing: a core that no boot sector names is never read."""


def settle_after_return(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """Nothing: the BIOS starts what LBA 0 says and nothing else."""


def hand_over(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """Write GRUB's boot code for the core in the BIOS boot partition: one write of LBA 0."""
    grub_bios.switch_boot_sector(node, resolved)


def _require_core(node: str, lifeboat: Lifeboat) -> None:
    """Raise ``boot.lifeboat_core`` unless the core on the disk is whole and made for where it lies."""
    place = lifeboat.part("core").extents[0]
    found = grub_bios.read_through(node, place.start, place.length)
    magic, length, digest = _PROOF.unpack_from(found, place.length - _PROOF_BLOCK)
    if magic != _MAGIC:
        raise _broken(node, lifeboat, "nothing was written there")
    if length > place.length or hashlib.sha256(found[:length]).digest() != digest:
        raise _broken(node, lifeboat, "it is not what was written")
    if not grub_bios.is_core(found[: grub_bios.SECTOR], place.start // grub_bios.SECTOR):
        raise _broken(node, lifeboat, "it was made for another place")


def _broken(node: str, lifeboat: Lifeboat, problem: str) -> Fault:
    return Fault(kinds.LIFEBOAT_CORE, node=node, sector=_core_lba(lifeboat), problem=problem)


def _core_lba(lifeboat: Lifeboat) -> int:
    return lifeboat.part("core").extents[0].start // grub_bios.SECTOR
