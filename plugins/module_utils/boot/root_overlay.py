# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A read-only root below an overlay, for a slot whose layout says so.

The program that lays the overlay is a small archive in the slot's own ``/boot/dualroot``. The dispatcher loads it
beside whatever initramfs the slot has, so nothing is rebuilt, and no kernel update can lose it. It serves
initramfs-tools and dracut alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..disk.nodes import volume_node
from ..layout.model import ResolvedLayout
from ..layout.overlay import LOWER
from ..runner import Runner
from . import cpio
from ._root_script import COMMAND, DRACUT, INITRAMFS_TOOLS, INITRAMFS_TOOLS_CHOICE, PROGRAM

#: In the slot, where the dispatcher looks for it.
ARCHIVE = "boot/dualroot/root.cpio"
COMMAND_PATH = "usr/local/sbin/dualroot-root"

_FILES = {
    "dualroot/root": PROGRAM,
    "conf/conf.d/dualroot-root": INITRAMFS_TOOLS_CHOICE,
    "scripts/dualroot": INITRAMFS_TOOLS,
    "usr/lib/dracut/hooks/pre-pivot/10-dualroot-root.sh": DRACUT,
}
#: Made by the archive. All other folders are there, in one kind of initramfs or the other; the kernel passes a
#: file over whose folder is missing, but would replace a link by a folder (``lib``, dracut's hooks).
_FOLDERS = ("dualroot",)
#: Options of one mount, not of the file system: they count where the system mounts the data, at its own place.
_OF_A_MOUNT = frozenset(("ro", "nosuid", "nodev", "noexec", "nofail", "auto", "noauto", "user", "users", "nouser"))


def write(root: Path, plan: Mapping[str, Any]) -> None:
    """Write the overlay of the plan's slot into the new system below ``root``, or remove an earlier one."""
    layout, slot = ResolvedLayout.from_document(plan["layout"]), str(plan["slot"])
    if not layout.slots[slot].overlay.read_only:
        for name in (ARCHIVE, COMMAND_PATH):
            (root / name).unlink(missing_ok=True)
        return
    files = {**_FILES, "dualroot/settings": settings(layout, slot, str(plan["run_id"]))}
    archive = cpio.pack({name: text.encode("ascii") for name, text in files.items()}, folders=_FOLDERS)
    _write(root / ARCHIVE, archive, 0o600)
    _write(root / COMMAND_PATH, COMMAND.encode("ascii"), 0o755)


def settings(layout: ResolvedLayout, slot: str, run_id: str) -> str:
    """Return what the program reads: the overlay of a slot, as assignments of the shell."""
    overlay = layout.slots[slot].overlay
    values = {
        "SLOT": slot,
        "RUN_ID": run_id,
        "MODE": overlay.mode,
        "MEMORY": overlay.memory,
        "PERSIST": " ".join(overlay.persist),
        **_data(layout, overlay.data if overlay.needs_data else ""),
    }
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def _data(layout: ResolvedLayout, on: str) -> dict[str, str]:
    if not on:
        return {"DATA_VOLUME": "", "DATA_DEVICE": "", "DATA_KIND": "", "DATA_OPTIONS": ""}
    system = layout.file_system(on)
    options = [one for one in system.options.split(",") if one.partition(".")[0] not in _OF_A_MOUNT]
    # Characters that end a word of the shell are no part of any mount option (mount(8)).
    if "'" in system.options:
        options = []
    volume, device = "", f"/dev/disk/by-uuid/{system.uuid}"
    if all(part.id != on for part in layout.partitions):
        group, logical = layout.volume(on)
        volume, device = f"{group.name}/{logical.name}", volume_node(group.name, logical.name)
    return {
        "DATA_VOLUME": volume,
        "DATA_DEVICE": device,
        "DATA_KIND": system.kind,
        "DATA_OPTIONS": ",".join(options) or "defaults",
    }


@contextlib.contextmanager
def lasting(runner: Runner, root: Path = Path("/"), lower: str = LOWER) -> Iterator[tuple[Path, ...]]:
    """Yield every root to write a file to so that it is there now and after the next start.

    That is ``root`` alone, or where it is an overlay also the slot's own root, which is writable meanwhile.
    Raises ``Fault`` ``command.failed`` where it cannot be made so.
    """
    own = root / lower.lstrip("/")
    if not own.is_mount():
        yield (root,)
        return
    runner.run(["mount", "-o", "remount,rw", str(own)])
    try:
        yield (root, own)
    finally:
        runner.run(["sync", "-f", str(own)])
        runner.run(["mount", "-o", "remount,ro", str(own)])


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, data, mode)
