# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the dispatcher's menu says of each slot: what it holds. The state beside it is read by GRUB at each start."""

from __future__ import annotations

from pathlib import Path

from ..archive.durable import write_file
from . import slot_state
from .records import SlotRecord, read_slots

FILE_NAME = "titles"

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._,:/+()~-")
#: A serial console has 80 columns, of which the menu's frame, slot and state take some 40.
_LENGTH = 60


def of_system(root: Path) -> str:
    """Return what the system below ``root`` calls itself (os-release(5)).

    Not its kernel: that changes with each update of the distribution, and the title would not.
    """
    for name in ("etc/os-release", "usr/lib/os-release"):
        path = root / name
        if path.is_file():
            for line in path.read_text("utf-8", "replace").splitlines():
                if line.startswith("PRETTY_NAME="):
                    return line.partition("=")[2].strip("\"'")
    return "Linux"


def of_record(record: SlotRecord) -> str:
    """Return the title of a slot: name and version of its bundle, and its system."""
    name = "old system" if record.kind == "old" else f"{record.name} {record.version}".strip()
    text = ", ".join(part for part in (name, record.title) if part)
    return "".join(one for one in text if one in _CHARACTERS)[:_LENGTH].rstrip()


def write(mount: Path) -> None:
    """Write the titles of all slots that have a record."""
    lines = [f"dr_title_{slot}={of_record(record)}\n" for slot, record in sorted(read_slots(mount).items())]
    block = ("# GRUB Environment Block\n" + "".join(lines)).encode("ascii")
    write_file(mount / FILE_NAME, block.ljust(slot_state.BLOCK_BYTES, b"#"))
