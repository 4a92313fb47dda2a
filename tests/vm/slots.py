# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The slots of a converted disk, seen and changed from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout

from . import disk_content

MIB = 1 << 20
#: What a running system writes to its own root, and what the engine keeps there to show what a host is.
OF_THE_HOST = (
    "etc/.updated",
    "etc/ansible/facts.d",
    "etc/lvm/archive",
    "etc/lvm/backup",
    "etc/machine-id",
    "home/admin",
    "lost+found",
    "root",
    "tmp",
    "var",
)


def place(layout: ResolvedLayout, name: str) -> tuple[int, int]:
    """Return start and length in bytes of ``dispatch``, or of the root of a slot: the first volume of its group."""
    if name == "dispatch":
        part = layout.partition(layout.dispatch)
        return part.start_lba * layout.sector_bytes, part.sectors * layout.sector_bytes
    group, volume = layout.volume(layout.slots[name].root)
    start = layout.partition(group.partitions[0]).start_lba * layout.sector_bytes
    # LVM's own data lie in the first MiB of a physical volume.
    return start + MIB + volume.first * group.extent_bytes, volume.bytes


def content(disk: Path, scratch: Path, layout: ResolvedLayout, slot: str) -> dict[str, str]:
    """Return of every file of a slot what it is, but for what a system that runs changes by itself."""
    with disk_content.changed_at(disk, scratch, {slot: place(layout, slot)}, keep=False) as mounted:
        return disk_content.files(mounted[slot], OF_THE_HOST)


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the paths that are not the same, but for what Python compiles where root runs a program."""
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return [path for path in paths if "__pycache__" not in path.split("/") and not path.startswith(OF_THE_HOST)]


def lay(files: dict[str, str], root: Path) -> None:
    """Lay files over a root, written as in ``tests.lab.bundles``."""
    for given, text in files.items():
        path = root / given.removesuffix("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o755 if given.endswith("!") else 0o644)


def of_host(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what the document of ``status`` says of one host."""
    hosts = document["hosts"]
    found: dict[str, Any] = hosts[name] if isinstance(hosts, dict) else next(h for h in hosts if h["host"] == name)
    return found
