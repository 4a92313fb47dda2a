# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Private part of ``model``: the fields of ``lifeboat.json``, each checked, every problem with its path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_RUN_ID = re.compile(r"(?!\.)[A-Za-z0-9_.+-]{1,100}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("version", "run_id", "plan_digest", "disk_bytes", "sector_bytes", "parts")
_PART_FIELDS = ("size", "sha256", "extents")
_BLOCK = 4096
#: More pieces than preflight reports areas; a list of this length still fits into the boot loader's configuration.
MOST_EXTENTS = 4096
#: No disk is larger, and no number of a description may be: 2^63 bytes.
MOST_BYTES = 1 << 63


def read(document: Any, schema: int, names: Sequence[str], problems: list[str]) -> dict[str, Any]:
    """Return every field, harmless ones where ``problems`` says what is wrong.

    ``parts`` maps each name to ``(size, sha256, [(start, length), ...])``.
    """
    fields = _fields(document, "", _FIELDS, problems)
    if fields.get("version") != schema:
        problems.append(f".version: {schema} is needed")
    sector = _number(fields.get("sector_bytes"), ".sector_bytes", problems)
    if sector not in (512, 4096):
        problems.append(".sector_bytes: 512 or 4096 is needed")
    parts = _fields(fields.get("parts"), ".parts", names, problems)
    return {
        "run_id": _text(fields.get("run_id"), ".run_id", _RUN_ID, problems),
        "plan_digest": _text(fields.get("plan_digest"), ".plan_digest", _DIGEST, problems),
        "disk_bytes": _number(fields.get("disk_bytes"), ".disk_bytes", problems),
        "sector_bytes": sector,
        "parts": {name: _part(name, parts.get(name), problems) for name in names},
    }


def _part(name: str, value: Any, problems: list[str]) -> tuple[int, str, list[tuple[int, int]]]:
    path = f".parts.{name}"
    fields = _fields(value, path, _PART_FIELDS, problems)
    digest = fields.get("sha256")
    if digest != "" or name in ("kernel", "initrd", "payload"):
        digest = _text(digest, f"{path}.sha256", _DIGEST, problems)
    extents = fields.get("extents")
    if not isinstance(extents, (list, tuple)) or not 1 <= len(extents) <= MOST_EXTENTS:
        problems.append(f"{path}.extents: a list of 1 to {MOST_EXTENTS} extents is needed")
        extents = []
    found = [_extent(one, f"{path}.extents[{index}]", problems) for index, one in enumerate(extents)]
    return _number(fields.get("size"), f"{path}.size", problems), digest, found


def _extent(value: Any, path: str, problems: list[str]) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        problems.append(f"{path}: a pair of start and length is needed")
        return 0, 0
    start, length = (_number(one, f"{path}[{index}]", problems) for index, one in enumerate(value))
    if start % _BLOCK or length % _BLOCK:
        problems.append(f"{path}: multiples of {_BLOCK} are needed")
    return start, length


def _fields(value: Any, path: str, names: Sequence[str], problems: list[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        problems.append(f"{path or '.'}: a mapping is needed")
        return {}
    problems += [f"{path}.{name}: is missing" for name in names if name not in value]
    problems += [f"{path}.{name}: unknown" for name in value if name not in names]
    return value


def _number(value: Any, path: str, problems: list[str]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < MOST_BYTES:
        problems.append(f"{path}: a positive whole number is needed")
        return 0
    return value


def _text(value: Any, path: str, form: re.Pattern[str], problems: list[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        problems.append(f"{path}: does not have its form")
        return ""
    return value
