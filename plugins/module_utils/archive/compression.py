# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which compression a file has, by its first bytes, and the program that undoes it."""

from __future__ import annotations

from ..faults import archive as kinds
from ..faults.fault import Fault
from .packed import Source, packed

#: Bytes to read for ``detect``: a tar header has its magic at 257.
PROBE_BYTES = 512

_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"

#: --long=31 accepts any window that a builder chose; memory is used only as the frame asks for it.
_DECOMPRESSORS: dict[str, tuple[str, ...]] = {
    "none": (),
    "gzip": ("gzip", "-dc"),
    "xz": ("xz", "-dc"),
    "zstd": ("zstd", "-q", "-dc", "--long=31"),
}


def detect(head: bytes) -> str | None:
    """Return ``zstd``, ``xz``, ``gzip``, ``none`` (plain tar), or ``None`` for anything else.

    Magic numbers: RFC 8878 3.1.1 and 3.1.2, the .xz format 2.1.1.1, RFC 1952 2.3.1, POSIX ustar.
    """
    if head[:4] == b"\x28\xb5\x2f\xfd" or (head[1:4] == _ZSTD_SKIPPABLE and 0x50 <= head[0] <= 0x5F):
        return "zstd"
    if head[:6] == b"\xfd7zXZ\x00":
        return "xz"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[257:262] == b"ustar":
        return "none"
    return None


def decompressor(compression: str) -> tuple[str, ...]:
    """Return the argv that turns the compressed stdin into a tar on stdout; empty for ``none``."""
    return _DECOMPRESSORS[compression]


def detect_source(source: Source) -> str:
    """Return the compression of an archive; raises a fault where it is none or cannot be read."""
    head = memoryview(bytearray(PROBE_BYTES))
    try:
        reader = packed(source).open()
        try:
            count = reader.readinto(head)
        finally:
            reader.close()
    except OSError as error:
        raise Fault(kinds.NOT_THERE, source=source, error=error.strerror) from error
    found = detect(bytes(head[:count]))
    if found is None:
        raise Fault(kinds.UNKNOWN_FORMAT, source=source)
    return found
