# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: fetch big files of root's from a host, by digest, resumed where they broke off.

Each piece comes through the standard output of a shell as base64. ``ansible.builtin.fetch`` was
rejected: with become it holds the whole file in memory, on the host and on the controller, and
without become it cannot read what only root may.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..module_utils.faults import snapshot as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.snapshot.evidence import make_folder
from ..module_utils.units import MIB

#: Pieces of 4 MiB: the connection plugin joins what it reads byte string by byte string, so the work for
#: one piece grows with the square of its size.
BLOCKS = 4

#: Runs shell text as root and returns ``{"rc", "stdout", "stderr"}``.
Shell = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Receiving:
    """A file on the host and where it goes; ``sha256`` and ``size`` are those on the host."""

    source: str
    target: Path
    sha256: str
    size: int

    @property
    def part(self) -> Path:
        # The digest in the name: a part of another file is never continued.
        return self.target.with_name(f".{self.target.name}.{self.sha256[:16]}.part")


def is_there(receiving: Receiving) -> bool:
    """Tell whether the file was received before."""
    try:
        return receiving.target.stat().st_size == receiving.size and hash_file(receiving.target) == receiving.sha256
    except OSError:
        return False


def receive(shell: Shell, receiving: Receiving) -> None:
    """Fetch one file, check it and put it in its place; raises ``snapshot.digest_mismatch``."""
    make_folder(receiving.target.parent)
    descriptor = os.open(receiving.part, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as part:
        # Whole blocks only: a part that was cut off in the middle of a piece is cut back.
        position = min(os.fstat(descriptor).st_size, receiving.size) // MIB * MIB
        part.truncate(position)
        part.seek(position)
        while position < receiving.size:
            piece = _piece(shell, receiving.source, position // MIB)
            part.write(piece)
            if len(piece) < min(BLOCKS * MIB, receiving.size - position):
                break  # cut off; the digest says so below
            position += len(piece)
        part.flush()
        os.fsync(descriptor)
    if receiving.part.stat().st_size != receiving.size or hash_file(receiving.part) != receiving.sha256:
        receiving.part.unlink()
        raise Fault(kinds.DIGEST, file=receiving.source)
    os.replace(receiving.part, receiving.target)


def _piece(shell: Shell, source: str, block: int) -> bytes:
    done = shell(f"dd if={shlex.quote(source)} bs=1048576 skip={block} count={BLOCKS} 2>/dev/null | base64 -w 0")
    try:
        return base64.b64decode("".join(str(done["stdout"]).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Fault(kinds.DIGEST, file=source) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(MIB):
            total.update(piece)
    return total.hexdigest()
