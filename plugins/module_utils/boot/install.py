# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the new disk bootable: the phases ``boot`` and ``seal`` of stage two.

``install`` prepares everything that the new boot loader needs while the old boot sector still stands;
``mark_trying`` and ``switch`` are the last two acts, each one sector.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..layout.model import ResolvedLayout
from ..runner import Runner
from . import dispatcher, esp, grub_bios, recording, recovery_files, slot_entry, slot_state, uefi
from .settle import settle


def check(
    runner: Runner,
    resolved: ResolvedLayout,
    plan: Mapping[str, Any],
    *,
    grub_dir: Path = grub_bios.GRUB_DIRECTORY,
    uefi_image: Path = uefi.IMAGE,
) -> None:
    """Raise, while nothing is changed, what ``install`` and ``switch`` would stop at.

    The dispatcher is rendered and the core image built in full and thrown away: after the point of no
    return it would be too late to learn that the firmware cannot start this disk.
    """
    dispatcher.render(plan)
    if _needs_core(resolved, plan):
        partition = grub_bios.bios_partition(resolved)
        core = _core(runner, resolved, plan, grub_dir)
        grub_bios.require_room(core, partition)
        grub_bios.boot_image(grub_dir)
    if esp.partition(resolved) is not None:
        uefi.read_image(uefi_image)


def install(
    runner: Runner,
    resolved: ResolvedLayout,
    node: str,
    dispatch_mount: Path,
    new_root: Path,
    plan: Mapping[str, Any],
    environment: Path,
    *,
    host_files: Path = recovery_files.HOST_FILES,
    grub_dir: Path = grub_bios.GRUB_DIRECTORY,
) -> None:
    """Prepare dispatcher, slot state, recovery system, records, slot entry, core image and loader of UEFI firmware.

    Not the boot sector, nor who is started.

    ``dispatch_mount`` and ``new_root`` are mounted writable, ``environment`` holds the convert kernel
    and initrd. The slot is left ``bad``. Repeating it is harmless. Raises ``Fault`` of the area boot.
    """
    slot = str(plan["slot"])
    slot_entry.write(new_root, str(plan["run_id"]), tuple(plan["kernel_arguments"]))
    recovery_files.install(dispatch_mount, plan, environment, host_files)
    install_dispatcher(dispatch_mount, plan)
    recording.write(dispatch_mount, new_root, plan)
    wanted = dispatcher.from_plan(plan)
    state = slot_state.mark_bad(slot_state.initial(wanted.order), slot)
    slot_state.write(dispatch_mount, state)
    if _needs_core(resolved, plan):
        grub_bios.embed_core(node, _core(runner, resolved, plan, grub_dir), resolved)
    if esp.partition(resolved) is not None:
        uefi.install(runner, node, resolved, plan)
    settle(dispatch_mount)
    settle(new_root)


def _needs_core(resolved: ResolvedLayout, plan: Mapping[str, Any]) -> bool:
    """A BIOS host cannot do without; on a UEFI host the disk starts by BIOS too where the layout lets it."""
    return plan["firmware"] == "bios" or grub_bios.starts_by_bios(resolved)


def _core(runner: Runner, resolved: ResolvedLayout, plan: Mapping[str, Any], grub_dir: Path) -> bytes:
    number = resolved.partition(resolved.dispatch).number
    return grub_bios.build_core(runner, grub_dir, f"(,gpt{number})/grub", dispatcher.early_config(plan))


def mark_trying(dispatch_mount: Path, slot: str) -> slot_state.SlotState:
    """Let the dispatcher try the slot, in one sector write to each copy."""
    state = slot_state.read(dispatch_mount).state
    return slot_state.write(dispatch_mount, slot_state.mark_trying(state, slot))


def switch(node: str, resolved: ResolvedLayout, *, grub_dir: Path = grub_bios.GRUB_DIRECTORY) -> None:
    """Hand control to the new boot loader: one write of LBA 0, when all file systems are unmounted."""
    grub_bios.switch_boot_sector(node, resolved, grub_dir)


def install_dispatcher(dispatch_mount: Path, plan: Mapping[str, Any]) -> None:
    """Write the dispatcher for the plan."""
    folder = dispatch_mount / "grub"
    folder.mkdir(exist_ok=True)
    write_file(folder / "grub.cfg", dispatcher.render(plan).encode("ascii"))
