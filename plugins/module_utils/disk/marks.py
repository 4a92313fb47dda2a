# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tells one disk from another: serial number, world-wide name, size and table id.

The old system's kernel and the convert kernel may offer a serial number in different places, so
every known place is read and a disk has a set of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import sysfs
from .read import Table, read_disk

#: Files with a serial number under /sys/block/DISK: virtio, NVMe and MMC, and others.
_SERIAL_FILES = ("serial", "device/serial", "device/cid")
_WWN_FILES = ("wwid", "device/wwid", "device/wwn")
_PREFIXES = ("naa.", "eui.", "uuid.", "0x")
#: Values that vendors leave in where there is nothing to say.
_NO_SERIAL = {"", "0", "none", "unknown", "not specified"}


@dataclass(frozen=True)
class Marks:
    """Every mark of one disk, from the strongest to the weakest; sizes in bytes."""

    node: str
    serials: tuple[str, ...]
    wwns: tuple[str, ...]
    table: Table

    @property
    def serial(self) -> str:
        return self.serials[0] if self.serials else ""

    @property
    def wwn(self) -> str:
        return self.wwns[0] if self.wwns else ""


def marks(name: str, root: Path = sysfs.ROOT) -> Marks:
    """Return the marks of a disk; raises ``disk.unreadable``."""
    udev = sysfs.udev_properties(name, root)
    serials = [sysfs.read(root, f"sys/block/{name}/{file}") for file in _SERIAL_FILES]
    serials += [_page_80(root, name), udev.get("ID_SERIAL_SHORT", ""), udev.get("ID_SCSI_SERIAL", "")]
    wwns = [sysfs.read(root, f"sys/block/{name}/{file}") for file in _WWN_FILES]
    wwns += [udev.get("ID_WWN_WITH_EXTENSION", ""), udev.get("ID_WWN", "")]
    return Marks(
        node=sysfs.node_of(name),
        serials=_known(normal_serial(one) for one in serials),
        wwns=_known(normal_wwn(one) for one in wwns),
        table=read_disk(sysfs.node_of(name), root),
    )


def normal_serial(text: str) -> str:
    """Return a serial number without padding; empty for the usual fillers."""
    text = " ".join(text.split())
    return "" if text.lower() in _NO_SERIAL else text


def normal_wwn(text: str) -> str:
    """Return a world-wide name in lower case without the prefix of its kind.

    A ``t10.`` name is vendor, model and serial padded with spaces and differs between kernels, so
    it is no mark.
    """
    text = text.strip().lower()
    if text.startswith("t10."):
        return ""
    for prefix in _PREFIXES:
        if text.startswith(prefix):
            return text[len(prefix) :]
    return text


def _page_80(root: Path, name: str) -> str:
    """Return the serial number in the vital product data of a SCSI disk (SPC-4, page 80h)."""
    try:
        data = (root / f"sys/block/{name}/device/vpd_pg80").read_bytes()
    except OSError:
        return ""
    return data[4 : 4 + int.from_bytes(data[2:4], "big")].decode("ascii", "replace").strip("\0 ")


def _known(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
