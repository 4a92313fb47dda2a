# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The GRUB of the old system: where it is, and whether it can start one entry once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..faults import boot as kinds
from ..faults.fault import Fault
from ..runner import CommandRunner, Runner
from . import mounts

#: Debian and its kin; RHEL and SUSE families.
DIRECTORIES = {"boot/grub2": "grub2", "boot/grub": "grub"}
#: File systems that GRUB's save_env writes to (measured), on a plain partition only.
WRITABLE = ("ext2", "ext3", "ext4", "xfs", "vfat")


@dataclass(frozen=True)
class HostLoader:
    """Paths of the GRUB directory and its files; programs are empty where the host has none.

    ``environment_doubt`` says why GRUB may be unable to write its environment, empty if nothing
    speaks against it.
    """

    directory: Path
    reboot_tool: str
    editenv_tool: str
    grubby: str
    reads_custom_config: bool
    handles_next_entry: bool
    environment_doubt: str

    @property
    def config(self) -> Path:
        return self.directory / "grub.cfg"

    @property
    def environment(self) -> Path:
        return self.directory / "grubenv"

    @property
    def custom_config(self) -> Path:
        return self.directory / "custom.cfg"


def detect(root: Path = Path("/"), search_path: str = CommandRunner.SEARCH_PATH) -> HostLoader:
    """Find the GRUB 2 of the system at ``root``; raises ``Fault`` ``boot.no_loader``."""
    for folder, prefix in DIRECTORIES.items():
        config = root / folder / "grub.cfg"
        if config.is_file():
            text = config.read_text("utf-8", "replace")
            return HostLoader(
                directory=root / folder,
                reboot_tool=shutil.which(f"{prefix}-reboot", path=search_path) or "",
                editenv_tool=shutil.which(f"{prefix}-editenv", path=search_path) or "",
                grubby=shutil.which("grubby", path=search_path) or "",
                reads_custom_config="/custom.cfg" in text,
                handles_next_entry="next_entry" in text,
                environment_doubt=environment_doubt(root / folder, root),
            )
    raise Fault(kinds.NO_LOADER, problem="there is no grub.cfg in /boot/grub or /boot/grub2")


def environment_doubt(directory: Path, root: Path = Path("/")) -> str:
    """Say why GRUB cannot write to the file system of ``directory``; empty where it can."""
    mount = mounts.find(directory, root / "proc/self/mountinfo")
    if mount is None:
        return "the kernel does not tell which file system it is on"
    if mount.fstype not in WRITABLE:
        return f"it is on {mount.fstype}, to which GRUB does not write"
    device = root / "sys/dev/block" / "{}:{}".format(*mount.device)
    if (device / "dm").is_dir():
        return "it is on a device-mapper volume (LVM or encryption), to which GRUB does not write"
    if (device / "md").is_dir():
        return "it is on a software RAID, to which GRUB does not write"
    return ""


def file_system_uuid(runner: Runner, mount: mounts.Mount) -> str:
    """Return the UUID of a mounted file system as GRUB's search compares it."""
    # /dev/block and not the source: that may be /dev/root on a host without an initramfs.
    device = "/dev/block/{}:{}".format(*mount.device)
    # -c /dev/null: look at the device itself, never at a cache of an earlier life of the disk.
    return runner.run(["blkid", "-c", "/dev/null", "-s", "UUID", "-o", "value", device]).text.strip()


def read_environment(runner: Runner, loader: HostLoader) -> dict[str, str]:
    """Return the variables of GRUB's environment; none where there is no environment."""
    if not loader.environment.is_file():
        return {}
    listed = runner.run([loader.editenv_tool, str(loader.environment), "list"]).text
    pairs = (line.partition("=") for line in listed.splitlines())
    return {name: value for name, equals, value in pairs if equals}
