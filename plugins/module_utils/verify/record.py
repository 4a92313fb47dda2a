# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The record of a converted host on the host itself: ``result.json`` and the fact file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..boot import fact as fact_file
from ..run_folders import RUNS

FACT = fact_file.PATH

#: What the controller measures better than stage two can.
_OF_CONTROLLER = ("downtime_seconds", "boot_ids")


@dataclass(frozen=True)
class Wanted:
    """The two documents, and where the first one lies below the root."""

    result: Mapping[str, Any]
    fact: Mapping[str, Any]
    result_path: str


def wanted(plan: Mapping[str, Any], conversion: Mapping[str, Any], root: Path, mount: Path) -> Wanted:
    """Return the documents as they should be; ``mount`` is the dispatch file system.

    ``conversion`` is what the controller saw; without it the record on the host is kept as it is,
    because the run that measured has completed it or was lost.
    """
    path = f"{RUNS}/{plan['run_id']}/result.json"
    result = {**_read(root / path)}
    result.update(
        run_id=plan["run_id"],
        host=plan["host"],
        outcome="updated" if plan["mode"] == "update" else "converted",
        fault=None,
        slot=plan["slot"],
        payload_bytes=plan["payload"]["size"],
    )
    if conversion.get("downtime_seconds") is not None:
        result.update({name: conversion.get(name) for name in _OF_CONTROLLER})
        # An update has not ended when its record is written; stage two has.
        first, second = (conversion, result) if plan["mode"] == "update" else (result, conversion)
        result["phases"] = first.get("phases") or second.get("phases") or []
        peaks = [value for value in (result.get("peak_ram_bytes"), conversion.get("peak_ram_bytes")) if value]
        result["peak_ram_bytes"] = max(peaks) if peaks else None
    fact = fact_file.document({**fact_file.base(plan), "committed": True}, mount)
    return Wanted(result, fact, path)


def write(documents: Wanted, root: Path, pretend: bool = False) -> tuple[bool, str]:
    """Write what differs, the fact last; return whether anything did, and the fact as it was."""
    fact = root / FACT
    before = fact.read_text("utf-8", "replace") if fact.exists() else ""
    targets = (
        (root / documents.result_path, dump(documents.result), 0o600),
        (fact, dump(documents.fact), 0o644),
    )
    changed = False
    for path, text, mode in targets:
        if path.exists() and path.read_text("utf-8", "replace") == text:
            continue
        changed = True
        if not pretend:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text.encode("utf-8"), mode)
    return changed, before


def dump(document: Mapping[str, Any]) -> str:
    """Return the text of a document; the same document always gives the same text."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
