# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Mounts and unmounts of stage two, each so that a second call changes nothing."""

from __future__ import annotations

from pathlib import Path

from ..disk.usage import unescape
from .machine import Machine

#: How an old root is mounted so that not a bit of it changes: a journal is not even replayed
#: (ext4 in mount(8), xfs(5)). ext2 has none and knows no such option.
_UNTOUCHED = {"ext3": "ro,noload", "ext4": "ro,noload", "xfs": "ro,norecovery,nouuid"}


def untouched_options(fstype: str) -> str:
    """Return the options for reading a file system without changing it."""
    return _UNTOUCHED.get(fstype, "ro")


def mounted(machine: Machine) -> list[str]:
    """Return the mount points of this machine, in the order of mounting."""
    lines = machine.read("proc/self/mountinfo").splitlines()
    return [unescape(line.split(" ")[4]) for line in lines if line.count(" ") > 4]


def below(machine: Machine, path: Path) -> list[str]:
    """Return the mount points at and below a path, the last mounted first."""
    return [at for at in reversed(mounted(machine)) if at == str(path) or at.startswith(f"{path}/")]


def mount(machine: Machine, device: str, at: Path, fstype: str, options: str = "") -> None:
    """Mount a device, unless something is mounted there already."""
    if str(at) in mounted(machine):
        return
    at.mkdir(parents=True, exist_ok=True)
    argv = ["mount", "-t", fstype]
    if options:
        argv += ["-o", options]
    machine.runner.run([*argv, device, str(at)])


def unmount(machine: Machine, path: Path) -> None:
    """Unmount everything at and below a path."""
    for at in below(machine, path):
        machine.runner.run(("umount", at))
