# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file system of the slot that is written: who uses it, making it anew, mounting it, reading it cold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..archive.durable import sync_device, sync_file_system
from ..disk import sysfs, usage
from ..faults import update as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedFileSystem, ResolvedLayout
from ..runner import Runner
from ..volumes import filesystems

#: Where the slot is mounted while it is written; root alone looks inside.
MOUNT = Path("/run/dualroot/update/new")
_SETTLE = ("udevadm", "settle", "--timeout=30")


@dataclass(frozen=True)
class Target:
    """The root of a slot: its device, the file system that the layout wants there, and where it is mounted."""

    slot: str
    device: str
    system: ResolvedFileSystem
    mount: Path = MOUNT


def of_layout(layout: ResolvedLayout, slot: str) -> Target:
    """Return the target for a slot of a layout."""
    on = layout.slots[slot].root
    # The root of a slot is a volume: the node of the disk does not matter.
    return Target(slot, layout.device("", on), layout.file_system(on))


def users(target: Target, root: Path = sysfs.ROOT) -> list[str]:
    """Return what uses the device, our own mount of an update that was cut off left out."""
    own = f"mounted at {target.mount}"
    return [f"{one.node} {one.by}" for one in usage.uses(target.device, root) if one.by != own]


def release(runner: Runner, target: Target, root: Path = sysfs.ROOT) -> None:
    """Unmount what an update that was cut off left behind; raises ``update.target_busy``."""
    unmount(runner, target, root)
    found = users(target, root)
    if found:
        raise Fault(kinds.TARGET_BUSY, slot=target.slot, users="; ".join(found))


def make(runner: Runner, target: Target) -> None:
    """Make the file system anew over whatever is there."""
    runner.run(["wipefs", "--all", "--force", target.device])
    runner.run(filesystems.make_argv(target.system, target.device))
    runner.run(list(_SETTLE), accept=(0, 1))


def mount(runner: Runner, target: Target, *, read_only: bool = False) -> None:
    """Mount the file system, seen by root alone."""
    target.mount.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.mount.parent.chmod(0o700)
    # No device in there is used. One program is run: the new system's visudo, by ``capture.configure``.
    options = "nodev,nosuid,noatime"
    if read_only:
        options = f"ro,noexec,{options}"
    runner.run(["mount", "-t", target.system.kind, "-o", options, target.device, str(target.mount)])


def unmount(runner: Runner, target: Target, root: Path = sysfs.ROOT) -> None:
    """Unmount it as often as it is mounted there."""
    for one in usage.mounts(root):
        if one.target == str(target.mount):
            runner.run(["umount", str(target.mount)])


def mount_cold(runner: Runner, target: Target, root: Path = sysfs.ROOT) -> None:
    """Mount it again so that what is read comes from the disk: nothing of it is left in memory.

    Unmounting drops the pages of its files, ``--flushbufs`` those of the device (blockdev(8)); before that all
    is brought to the disk and out of the disk's own cache. Raises ``OSError`` where the disk reports an error.
    """
    sync_file_system(target.mount)
    unmount(runner, target, root)
    sync_device(Path(target.device))
    runner.run(["blockdev", "--flushbufs", target.device])
    mount(runner, target, read_only=True)
