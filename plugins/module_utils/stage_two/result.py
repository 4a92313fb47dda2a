# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result record of stage two, and the evidence that goes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..journal import resumes, timings
from ..phases import STAGE_TWO_PHASES
from .work import Work


def document(work: Work, outcome: str, fault: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return what stage two knows of the result; the controller adds what only it can know.

    ``outcome`` is ``converted``, ``restored`` or ``returned``. Boot ids of the other systems and the downtime,
    which ends long after stage two, are null here.
    """
    return {
        "run_id": work.plan["run_id"],
        "host": work.plan["host"],
        "mode": work.plan["mode"],
        "outcome": outcome,
        "fault": dict(fault) if fault else None,
        # Of a restored host no slot is left.
        "slot": None if outcome == "restored" else work.plan["slot"],
        "phases": timings(work.journal.entries, STAGE_TWO_PHASES),
        "downtime_seconds": None,
        "peak_ram_bytes": work.status.ram_peak_bytes,
        "payload_bytes": work.plan["payload"]["size"],
        "boot_ids": {"old": None, "stage_two": work.machine.boot_id(), "new": None},
        "resumed": resumes(work.journal.entries),
        "bundle": dict(work.plan["bundle"]),
        # What memory was needed is told of runs of the same kind only.
        "lifeboat": work.lifeboat is not None,
    }


def write(work: Work, folder: Path, record: Mapping[str, Any]) -> None:
    """Write journal, console log and result into a run's folder, the result last."""
    run = work.machine.places.run
    for name, copy in (("journal.jsonl", "journal.jsonl"), ("log", "stage-two.log")):
        if (run / name).is_file():
            write_file(folder / copy, (run / name).read_bytes(), 0o600)
    write_document(folder, record)


def write_document(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``result.json``."""
    write_file(folder / "result.json", json.dumps(record, indent=2, sort_keys=True).encode() + b"\n")
