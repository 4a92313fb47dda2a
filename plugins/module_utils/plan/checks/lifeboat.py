# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Room for the lifeboat: where it will lie, or what is missing and what would make room."""

from __future__ import annotations

from collections.abc import Iterator

from ...faults import preflight as kinds
from ...units import format_size
from ..context import Context
from ..finding import Finding, find
from ..lifeboat import Berth


def check(context: Context) -> Iterator[Finding]:
    """Check what the operator wants against the room that was found."""
    berth, wish = context.berth, context.options.lifeboat
    if wish == "none":
        if context.options.mode == "convert":
            yield find(kinds.NO_LIFEBOAT)
        return
    for partition in (context.system_disk or {}).get("partitions") or []:
        if partition.get("fstype") == "swsuspend":
            yield find(kinds.HIBERNATED, device=partition["node"])
    if berth is None:
        return  # without a layout nobody knows what it leaves alone; the layout's own finding says more
    needed = format_size(berth.needed_bytes)
    if berth.used and berth.is_tight:
        missing = format_size(berth.missing_bytes)
        yield find(kinds.LIFEBOAT_TIGHT, needed=needed, places=berth.places(), missing=missing)
        return
    if berth.used:
        yield find(kinds.LIFEBOAT, needed=needed, places=berth.places())
        return
    yield find(
        kinds.NO_ROOM if wish == "required" else kinds.NO_ROOM_AUTO,
        needed=needed,
        found=format_size(berth.found_bytes),
        missing=format_size(berth.missing_bytes),
        reason=_reason(context, berth),
        remedy=_remedy(context, berth),
    )


def _reason(context: Context, berth: Berth) -> str:
    left = format_size(sum(one.length for one in berth.allowed))
    words = [f"The new layout leaves {left} of the disk alone until commit; there it finds {berth.places()}."]
    if context.facts.get("lifeboat_doubt"):
        words.append(f"Free blocks of the old root cannot be used: {context.facts['lifeboat_doubt']}.")
    if berth.needed_bytes <= berth.found_bytes:
        whole, largest = format_size(berth.whole_bytes), format_size(berth.largest_bytes)
        words.append(f"The convert kernel must lie in one piece of {whole}; the largest has {largest}.")
    return " ".join(words)


def _remedy(context: Context, berth: Berth) -> str:
    """Return what would make room, the nearest at hand first."""
    missing = format_size(berth.missing_bytes)
    ways = []
    if sum(one.length for one in berth.allowed) < berth.needed_bytes:
        ways.append(
            "take a layout (dualroot_layout) whose second slot is made at commit, or has only its file system made then"
            " (at: commit), and is large enough"
        )
    elif not context.facts.get("lifeboat_doubt"):
        ways.append(f"free at least {missing} on the old root (package caches, old kernels, old logs)")
    ways.append(f"leave {missing} of the disk unpartitioned behind the root, or as swap")
    ways.append("set dualroot_lifeboat: none to go without (auto goes without where there is no room)")
    return "; or ".join(ways)
