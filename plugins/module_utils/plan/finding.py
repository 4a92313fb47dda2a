# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a check has to say about a host: a fault's record with a severity."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..faults import preflight as kinds
from ..faults.fault import Fault, FaultKind

#: From the worst to the mildest; findings are shown in this order.
SEVERITIES: tuple[str, ...] = ("refuse", "warn", "info")


@dataclass(frozen=True)
class Finding:
    """One finding; the texts are complete sentences for a person."""

    id: str
    severity: str
    what: str
    why: str
    how: str
    phase: str = "preflight"

    def to_document(self) -> dict[str, str]:
        return {
            "id": self.id,
            "severity": self.severity,
            "what": self.what,
            "why": self.why,
            "how": self.how,
            "phase": self.phase,
        }


def severity_of(kind: FaultKind) -> str:
    """Return the severity that the catalogue gives to this kind."""
    if kind in kinds.WARNINGS:
        return "warn"
    if kind in kinds.NOTES:
        return "info"
    return "refuse"


def find(kind: FaultKind, /, **particulars: Any) -> Finding:
    """Make a finding of this kind, with the severity of the catalogue."""
    return from_record(Fault(kind, **particulars).record(), severity_of(kind))


def from_record(record: Mapping[str, str], severity: str = "refuse") -> Finding:
    """Make a finding from the record of a fault that another part of the engine raised."""
    return Finding(
        id=record["id"],
        severity=severity,
        what=record["what"],
        why=record["why"],
        how=record["how"],
        phase=record.get("phase") or "preflight",
    )


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings once each, the worst first, otherwise in the order of the checks."""
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def verdict(findings: Iterable[Finding]) -> str:
    """Return ``refuse`` where any finding refuses, otherwise ``proceed``."""
    return "refuse" if any(finding.severity == "refuse" for finding in findings) else "proceed"


def summary(findings: Iterable[Finding]) -> Fault | None:
    """Return the fault that ends a host with refusing findings, or ``None`` where none refuses."""
    refusing = [finding for finding in findings if finding.severity == "refuse"]
    if not refusing:
        return None
    return Fault(
        kinds.REFUSED,
        count=len(refusing),
        ids=", ".join(dict.fromkeys(finding.id for finding in refusing)),
        reasons=" ".join(f"{finding.id}: {finding.what}." for finding in refusing),
        remedies=" ".join(f"{finding.id}: {finding.how}" for finding in refusing),
    )
