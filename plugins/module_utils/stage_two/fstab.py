# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The new system's ``/etc/fstab``, from the resolved layout."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..archive.durable import write_file
from ..layout.model import ResolvedFileSystem, ResolvedLayout

_HEAD = "# Written by dualroot.migrate from the layout {layout}; file systems are named by UUID (blkid).\n"
#: What a payload may bring along: file systems that stand on no disk of the machine it was made on.
_WITHOUT_DISK = frozenset(
    ("tmpfs", "proc", "sysfs", "devpts", "cgroup2", "hugetlbfs", "nfs", "nfs4", "cifs", "9p", "virtiofs")
)
_DEFAULT = "defaults"
#: A root with errors must not be written to any further (ext4(5)); XFS shuts itself down.
_ERRORS = {"ext4": "errors=remount-ro"}
#: Without it systemd goes into emergency mode, where nobody can log in over SSH, when a volume is not there after
#: 90 s (systemd.mount(5)); a slow disk takes longer, and the trial guard waits for 900 s.
_PATIENCE = "x-systemd.device-timeout=300s"


def render(layout: ResolvedLayout, slot: str, upto: str = "convert", before: str = "") -> str:
    """Return the fstab of the system in ``slot``; ``before`` is the one that the payload brought."""
    systems = layout.slot_file_systems(slot, upto)
    overlay = layout.slots[slot].overlay
    if overlay.read_only:
        # The initramfs mounts it: what is named here would be mounted again, over what is there (systemd-remount-fs).
        systems = tuple(system for system in systems if system.on != layout.slots[slot].root)
    lines = [_line(system, layout, slot) for system in systems]
    taken = {system.mount for system in systems}
    return _HEAD.format(layout=layout.name) + "".join(lines) + "".join(_kept(before.splitlines(), taken))


def write(root: Path, layout: ResolvedLayout, slot: str, upto: str = "convert") -> None:
    """Write ``etc/fstab`` below ``root``."""
    path = root / "etc/fstab"
    before = path.read_text("utf-8", "replace") if path.is_file() else ""
    path.parent.mkdir(exist_ok=True)
    write_file(path, render(layout, slot, upto, before).encode())


def _line(system: ResolvedFileSystem, layout: ResolvedLayout, slot: str) -> str:
    if system.kind == "swap":
        return f"UUID={system.uuid} none swap {system.options or 'sw'} 0 0\n"
    is_root = system.on == layout.slots[slot].root
    options = system.options or _DEFAULT
    if is_root and options == _DEFAULT:
        options = _ERRORS.get(system.kind, _DEFAULT)
    # fsck passes (fstab(5)): the root first, XFS never.
    check = 0 if system.kind == "xfs" else 1 if is_root else 2
    overlay = layout.slots[slot].overlay
    if overlay.needs_data and system.on == overlay.data:
        # The initramfs has checked it, and it is in use.
        check = 0
    if not is_root and not {"nofail", "noauto"} & set(options.split(",")) and "device-timeout=" not in options:
        options = f"{options},{_PATIENCE}"
    return f"UUID={system.uuid} {system.mount} {system.kind} {options} 0 {check}\n"


def _kept(lines: Iterable[str], taken: Iterable[str]) -> Iterable[str]:
    """Yield the payload's lines for file systems without a disk, where the layout mounts nothing."""
    occupied = set(taken)
    for line in lines:
        words = line.split()
        if len(words) < 4 or words[0].startswith("#"):
            continue
        if words[2] in _WITHOUT_DISK and words[1] not in occupied:
            yield line.rstrip() + "\n"
