# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take back what staging did, on a host that runs its old system; it needs no plan."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from ..archive.durable import sync_directory
from ..disk import sysfs
from ..faults.fault import Fault
from ..lifeboat import berth, claim
from ..runner import Runner
from . import fetch, host_loader, one_shot, uefi_left
from .staged_lifeboat import release
from .staging import BOOT_DIRECTORY, CAPTURE, COMBINED, HOST_CPIO, KERNEL, STATE_DIRECTORY, Change

_SECRETS = (HOST_CPIO, HOST_CPIO + ".new", COMBINED, COMBINED + ".new")


def remains(
    runner: Runner,
    boot_directory: Path = BOOT_DIRECTORY,
    state_directory: Path = STATE_DIRECTORY,
    root: Path = sysfs.ROOT,
) -> list[Change]:
    """Return what ``disarm`` would take away, in its order; changes nothing."""
    found = []
    loader = _loader(runner)
    if loader is not None:
        if one_shot.ENTRY_ID in one_shot.armed_entry(runner, loader):
            found.append(Change("one-shot", str(loader.environment)))
        text = one_shot.read_custom_config(loader)
        if text != one_shot.with_block(text, ""):
            found.append(Change("entry", str(loader.custom_config)))
        kernel = boot_directory / KERNEL
        by_grubby = not loader.reads_custom_config and bool(loader.grubby)
        if by_grubby and one_shot.has_grubby_entry(runner, loader, kernel):
            found.append(Change("grubby entry", str(kernel)))
    found += [Change("firmware entry", f"Boot{entry.number}") for entry in uefi_left.entries(root)]
    file = state_directory / claim.FILE.name
    if file.exists() or (state_directory / "stage" / berth.DOCUMENT).exists():
        found.append(Change("lifeboat", str(file), file.stat().st_blocks * 512 if file.exists() else 0))
    for folder in (boot_directory, state_directory / "stage"):
        if folder.is_dir():
            found.append(Change("folder", str(folder), sum(path.stat().st_size for path in folder.iterdir())))
    return found


def disarm(
    runner: Runner,
    boot_directory: Path = BOOT_DIRECTORY,
    state_directory: Path = STATE_DIRECTORY,
    root: Path = sysfs.ROOT,
) -> list[Change]:
    """Take a staging back: the one-shot first, then entry, lifeboat and files, secrets overwritten."""
    changes = remains(runner, boot_directory, state_directory, root)
    loader = _loader(runner)
    for change in changes:
        if change.what == "folder":
            _remove_folder(Path(change.path))
        elif change.what == "firmware entry":
            for entry in uefi_left.entries(root):
                if change.path == f"Boot{entry.number}":
                    uefi_left.take_back(runner, entry, root)
        elif change.what == "lifeboat":
            release(runner, state_directory, state_directory / "stage")
        elif loader is not None and change.what == "one-shot":
            one_shot.disarm(runner, loader)
        elif loader is not None and change.what == "entry":
            text = one_shot.with_block(one_shot.read_custom_config(loader), "")
            one_shot.write_custom_config(loader, text)
        elif loader is not None:
            one_shot.remove_grubby_entry(runner, loader, Path(change.path))
    return changes


def armed_entry(runner: Runner) -> str:
    """Return the one-shot entry of this host, empty if there is none."""
    loader = _loader(runner)
    return one_shot.armed_entry(runner, loader) if loader else ""


def _loader(runner: Runner) -> host_loader.HostLoader | None:
    # A host without GRUB has no entry to take back, but may have files.
    with contextlib.suppress(Fault):
        return host_loader.detect(runner)
    return None


def _remove_folder(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in _SECRETS or path.name.startswith(CAPTURE):
            fetch.shred(path)
    shutil.rmtree(folder)
    sync_directory(folder.parent)
