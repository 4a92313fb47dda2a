# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings of the capture: a fault's record with a severity, as preflight shows them."""

from __future__ import annotations

from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault, FaultKind


def finding(kind: FaultKind, /, **particulars: Any) -> dict[str, str]:
    """Return ``{id, phase, what, why, how, severity}``; severity is ``refuse``, ``warn`` or ``info``."""
    severity = "warn" if kind in kinds.WARNINGS else "info" if kind in kinds.NOTES else "refuse"
    return {**Fault(kind, **particulars).record(), "severity": severity}
