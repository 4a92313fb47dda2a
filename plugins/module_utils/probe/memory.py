# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory, swap and processors, from /proc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..disk.usage import swaps


def read_memory(root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return ``memory_bytes``, ``memory_available_bytes``, ``swap_devices`` and ``cpus``."""
    fields = _meminfo(root)
    # MemAvailable came with Linux 3.14; before it, what is free or a droppable cache is near to it.
    older = fields.get("MemFree", 0) + fields.get("Cached", 0) - fields.get("Shmem", 0)
    return {
        "memory_bytes": fields.get("MemTotal", 0),
        "memory_available_bytes": fields.get("MemAvailable", max(older, 0)),
        "swap_devices": swaps(root),
        "cpus": sum(line.startswith("processor") for line in sysfs.read(root, "proc/cpuinfo").splitlines()),
    }


def _meminfo(root: Path) -> dict[str, int]:
    found = {}
    for line in sysfs.read(root, "proc/meminfo").splitlines():
        name, _colon, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found
