# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Results of rehearsals that the host itself keeps: stage two left them when it came back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..run_folders import RUNS

#: How many are read, the newest first; a result is a few kilobytes.
MOST = 20
_MAX_BYTES = 256 << 10
_FIELDS = ("run_id", "mode", "outcome", "fault", "phases", "payload_bytes", "peak_ram_bytes", "bundle", "lifeboat")


def read_rehearsals(root: Path = sysfs.ROOT) -> list[dict[str, Any]]:
    """Return what the newest rehearsals measured, of whatever bundle."""
    try:
        folders = sorted((root / RUNS).iterdir(), reverse=True)[:MOST]
    except OSError:
        return []
    found = [_read(folder / "result.json") for folder in folders]
    return [
        {name: one.get(name) for name in _FIELDS} for one in found if one is not None and one.get("mode") == "rehearse"
    ]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
