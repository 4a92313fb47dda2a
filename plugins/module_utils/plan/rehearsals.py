# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which earlier rehearsal may calibrate a prediction: the newest of this host with this very bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_AMOUNTS = ("payload_bytes", "peak_ram_bytes", "downtime_seconds")
#: No size in bytes and no time in seconds reaches it; neither do infinity and what is not a number.
_ENDLESS = 1 << 60


def newest(results: Iterable[Any], manifest_sha256: str) -> dict[str, Any] | None:
    """Return the ``result.json`` of the newest rehearsal that went well, or ``None``.

    ``results`` are documents of this host, from wherever; what is not one of them is passed over. Another
    bundle has another payload, whose times say nothing.
    """
    usable = [dict(result) for result in results if _is_usable(result, manifest_sha256)]
    return max(usable, key=_time, default=None)


def _is_usable(result: Any, manifest_sha256: str) -> bool:
    if not isinstance(result, Mapping) or not isinstance(result.get("bundle"), Mapping):
        return False
    went_well = (result.get("mode"), result.get("outcome")) == ("rehearse", "returned") and not result.get("fault")
    phases = result.get("phases")
    return (
        went_well
        and bool(manifest_sha256)
        and result["bundle"].get("manifest_sha256") == manifest_sha256
        and isinstance(phases, list)
        and all(_is_phase(phase) for phase in phases)
        and all(result.get(name) is None or _is_amount(result[name]) for name in _AMOUNTS)
    )


def _is_phase(phase: Any) -> bool:
    return isinstance(phase, Mapping) and isinstance(phase.get("name"), str) and _is_amount(phase.get("seconds"))


def _is_amount(value: Any) -> bool:
    """Tell whether a value is a number that can be reckoned with; JSON of a host may hold anything."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _ENDLESS


def _time(result: Mapping[str, Any]) -> str:
    # A run id begins with the time at which the run was named, so it sorts by time.
    return str(result.get("run_id") or "")
