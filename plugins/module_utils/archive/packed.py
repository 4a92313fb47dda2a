# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a packed archive comes from: a file, or anything that can be read from its start to its end."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Union


class PackedReader(Protocol):
    """One pass over a packed archive."""

    @property
    def size(self) -> int:
        """Return how many bytes it has in all."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill as much of a buffer as is at hand; return the number of bytes, 0 at the end."""

    def close(self) -> None:
        """Give back what the pass holds; a second call does nothing."""


class Packed(Protocol):
    """A packed archive; its text names it to a person."""

    def open(self) -> PackedReader:
        """Begin a pass; raises ``OSError``. Every pass reads the same bytes."""


#: A path stands for the file of that name.
Source = Union[Path, Packed]


@dataclass(frozen=True)
class PackedFile:
    """An archive in a file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> PackedReader:
        return _FileReader(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC))


def packed(source: Source) -> Packed:
    """Return what a source is."""
    return PackedFile(source) if isinstance(source, Path) else source


def size_of(source: Source) -> int:
    """Return the bytes of a packed archive; raises ``OSError``."""
    reader = packed(source).open()
    try:
        return reader.size
    finally:
        reader.close()


class _FileReader:
    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.size = os.fstat(handle).st_size

    def readinto(self, buffer: memoryview) -> int:
        return os.readv(self._handle, [buffer])

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
