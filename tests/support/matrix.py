# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of the fault matrix: each test that passed leaves a line for ``docs/reliability.md``.

Lines go to the file that ``DUALROOT_RESULTS`` names, and nowhere where it names none, so that a test run
does not change the tree by itself.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

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
