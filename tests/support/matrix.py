# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of the fault matrix: each test that passed leaves a line for ``docs/reliability.md``.

Lines go to the file that ``DUALROOT_RESULTS`` names, and nowhere where it names none, so that a test run
does not change the tree by itself. ``python -m tests.support.matrix FILE`` takes such a file into the results.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "crash/results/faults.jsonl"
#: Characters of a proof that a table has room for.
PROOF = 100
OUTCOMES = ("OLD", "NEW", "RESUME", "RESCUE", "REFUSED", "GOOD SLOT")


def record(row: str, outcome: str, proof: str, level: str, fault: str = "") -> None:
    """Keep that the fault of ``row`` landed (``proof``) and how it ended; ``level`` is where it was shown.

    ``REFUSED``: it never came so far that the host was touched. ``GOOD SLOT``: the other slot of a converted
    host is back.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"not an outcome: {outcome}")
    target = os.environ.get("DUALROOT_RESULTS")
    if not target:
        return
    line = {"row": row, "outcome": outcome, "fault": fault, "proof": proof, "level": level, "count": 1}
    with Path(target).open("a") as file:
        file.write(json.dumps(line, sort_keys=True) + "\n")


def merged(before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines of both: one for each fault, outcome and level, counted, with the latest proof."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in (*before, *after):
        key = (line["row"], line["outcome"], line["level"])
        count = found[key]["count"] if key in found else 0
        proof = line["proof"].replace("|", "/").strip()
        found[key] = {**line, "count": count + line["count"], "proof": proof[:PROOF]}
    return list(found.values())


def main(given: Path, target: Path = RESULTS) -> None:
    """Take the lines of a test run into the results that docs/reliability.md is written from."""
    lines = [[json.loads(line) for line in path.read_text().splitlines() if line] for path in (target, given)]
    target.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in merged(*lines)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
