# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The result of one host in one run: what stage two, the wait and the plan know, in one record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Of a migration the first two, of an update and of a rollback the next three, then that of a restore.
OUTCOMES: tuple[str, ...] = ("converted", "returned", "updated", "rolled_back", "fell_back", "restored", "failed")
#: What a run is called by whose plan it has, where it ended well and nobody named the outcome.
_GOOD = {"update": "updated", "rollback": "rolled_back", "restore": "restored"}
_BOOT_IDS = ("old", "stage_two", "new")


def complete(
    host: str,
    *,
    plan: Mapping[str, Any] | None = None,
    result: Mapping[str, Any] | None = None,
    fault: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Return ``result.json``, or ``None`` for a host of which nothing is known but its plan.

    A fault without a result is a failure before stage two was entered. Fields that nobody knows are
    ``None``, never left out.
    """
    if not result and not fault:
        return None
    given, frozen = dict(result or {}), dict(plan or {})
    found = given.get("fault") or fault
    mode = frozen.get("mode") or given.get("mode")
    outcome = given.get("outcome") or ("failed" if found else _GOOD.get(str(mode), "converted"))
    if outcome not in OUTCOMES:
        raise ValueError(f"not an outcome: {outcome}")
    boot_ids = given.get("boot_ids") or {}
    return {
        "run_id": given.get("run_id") or frozen.get("run_id"),
        "host": host,
        "mode": mode,
        "outcome": outcome,
        "fault": dict(found) if found else None,
        "reason": given.get("reason") or None,
        "slot": given.get("slot") or (frozen.get("slot") if outcome in ("converted", "updated") else None),
        "phases": [_phase(phase) for phase in given.get("phases") or []],
        "downtime_seconds": given.get("downtime_seconds"),
        "peak_ram_bytes": given.get("peak_ram_bytes"),
        "payload_bytes": given.get("payload_bytes") or (frozen.get("payload") or {}).get("size"),
        "resumed": given.get("resumed") or 0,
        "boot_ids": {name: boot_ids.get(name) for name in _BOOT_IDS},
        "bundle": frozen.get("bundle"),
        "lifeboat": _with_lifeboat(frozen),
        "layout": (frozen.get("layout") or {}).get("name"),
        "plan_digest": frozen.get("digest"),
    }


def _with_lifeboat(plan: Mapping[str, Any]) -> bool:
    """Tell whether the run had a lifeboat: with one the payload needs no memory, which predictions must know."""
    lifeboat = plan.get("lifeboat")
    return isinstance(lifeboat, Mapping) and bool(lifeboat.get("used"))


def _phase(phase: Mapping[str, Any]) -> dict[str, Any]:
    return {name: phase.get(name) for name in ("name", "started", "seconds")}


def state_of(documents: Mapping[str, Any]) -> str:
    """Return one word for a host's folder: an outcome, or else the verdict of its preflight."""
    result = documents.get("result") or {}
    if result.get("outcome") == "returned" and not result.get("fault"):
        return "rehearsed"
    preflight = documents.get("preflight") or {}
    verdict = preflight.get("verdict")
    judged = {"proceed": "planned", "refuse": "refused"}.get(str(verdict), "unknown")
    return str(result.get("outcome") or judged)
