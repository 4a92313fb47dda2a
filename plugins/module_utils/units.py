# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sizes for people and for machines; binary units as in IEC 80000-13."""

from __future__ import annotations

import re
from fractions import Fraction

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40
#: The last byte that the kernel can name (``loff_t``).
LARGEST = (1 << 63) - 1

_FACTORS = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) *(B|KiB|MiB|GiB|TiB)")


def parse_size(text: str | int) -> int:
    """Return bytes for ``"512 MiB"``, ``"1.5GiB"`` or a plain whole number of bytes.

    Raises ``ValueError`` for anything else, so that ``512M`` is never guessed at.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise ValueError("a size is never negative")
        return _possible(text)
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"not a size: {text!r} (write for example 512 MiB)")
    # Not float: it has 53 bits, and an end.
    return _possible(int(Fraction(match.group(1)) * _FACTORS[match.group(2)]))


def _possible(count: int) -> int:
    if count > LARGEST:
        raise ValueError("larger than any disk")
    return count


def format_size(count: int) -> str:
    """Return a size for a person to read, with one decimal above 10 of a unit at the most."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _FACTORS[unit]
        if count >= factor:
            value = count / factor
            return f"{value:.0f} {unit}" if value >= 100 or value == int(value) else f"{value:.1f} {unit}"
    return f"{count} B"


def align_up(value: int, step: int) -> int:
    """Return the smallest multiple of ``step`` that is not below ``value``."""
    return -(-value // step) * step


def align_down(value: int, step: int) -> int:
    """Return the largest multiple of ``step`` that is not above ``value``."""
    return value // step * step
