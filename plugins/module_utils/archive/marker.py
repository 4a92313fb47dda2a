# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The note in a restore target that tells a whole restore from one that was cut off.

Written ``incomplete`` before the first member, and replaced by ``complete`` only after the digest was
right and every file is on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from .durable import sync_directory, write_file

NAME = ".dualroot-restore"

INCOMPLETE = "incomplete"
COMPLETE = "complete"


@dataclass(frozen=True)
class Marker:
    """``state`` is incomplete or complete; ``digest`` the archive's SHA-256 in hex, or empty.

    ``overlay`` tells that the target held other files before, which a new start must not delete.
    """

    state: str
    digest: str = ""
    overlay: bool = False

    @property
    def complete(self) -> bool:
        return self.state == COMPLETE


def read(target: Path) -> Marker | None:
    """Return the marker, or ``None`` where there is none; one that cannot be read counts as incomplete."""
    try:
        content = (target / NAME).read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(content)
        return Marker(str(document["state"]), str(document["digest"]), bool(document.get("overlay", False)))
    except (ValueError, KeyError, TypeError):
        return Marker(INCOMPLETE)


def write(target: Path, marker: Marker) -> None:
    """Write the marker and bring it to the disk."""
    document = {"digest": marker.digest, "state": marker.state, "overlay": marker.overlay}
    write_file(target / NAME, json.dumps(document, sort_keys=True).encode() + b"\n", 0o600)


def remove(target: Path) -> None:
    """Remove the marker once the target is a system of its own."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target / NAME)
    sync_directory(target)
