# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings of the capture: a fault's record with a severity, as preflight shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault, FaultKind


def finding(kind: FaultKind, /, **particulars: Any) -> dict[str, str]:
    """Return ``{id, phase, what, why, how, severity}``; severity is ``refuse``, ``warn`` or ``info``."""
    severity = "warn" if kind in kinds.WARNINGS else "info" if kind in kinds.NOTES else "refuse"
    return {**Fault(kind, **particulars).record(), "severity": severity}


def finding_of(fault: Fault) -> dict[str, str]:
    """Return the finding that a fault stands for, so that it can be shown beside others."""
    return finding(fault.kind, **fault.particulars)


def fault_of(record: Mapping[str, str]) -> Fault:
    """Return the fault that a refusing finding stands for."""
    texts = {name: record[name].replace("{", "{{").replace("}", "}}") for name in ("what", "why", "how")}
    return Fault(FaultKind(id=record["id"], phase=record["phase"], **texts))
