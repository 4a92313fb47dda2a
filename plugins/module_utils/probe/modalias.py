# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which drivers a device needs: its modalias and those of all its parents up to the root of the bus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..disk import sysfs

#: Drivers that are part of every kernel's core and have no alias that a module list could hold.
_CORE_DRIVERS = ("pcieport", "pci-bridge", "acpi", "container", "button", "system")


def disk_chain(name: str, root: Path = sysfs.ROOT) -> list[dict[str, Any]]:
    """Return ``{device, kind, modalias, driver}`` from a disk up to its bus."""
    return _chain(root / "sys/block" / name, "disk", name, root)


def nic_chain(name: str, root: Path = sysfs.ROOT) -> list[dict[str, Any]]:
    """Return ``{device, kind, modalias, driver}`` from a network interface up to its bus."""
    return _chain(root / "sys/class/net" / name, "nic", name, root)


def driver(directory: Path) -> str:
    """Return the name of the driver bound to a device directory of /sys, or an empty text."""
    link = directory / "driver"
    return link.resolve().name if link.is_symlink() else ""


def _chain(start: Path, kind: str, name: str, root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    top = (root / "sys/devices").resolve()
    try:
        directory = start.resolve(strict=True)
    except OSError:
        return found
    while directory != top and top in directory.parents:
        modalias = sysfs.read(directory, "modalias")
        bound = driver(directory)
        if modalias and bound not in _CORE_DRIVERS:
            device = directory.name if found else name
            found.append({"device": device, "kind": kind, "modalias": modalias, "driver": bound})
        directory = directory.parent
    return found
