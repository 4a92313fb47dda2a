# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: why a new system failed its trial, as it left it for the old one, which knows nothing of slots.

The dispatch partition is no file system of the old system, so it is mounted for this look and for no longer.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

_TEXT = """p=/dev/disk/by-partuuid/{uuid}; d=$(mktemp -d) || exit 0
if mount -o ro,noload "$p" "$d"; then
  tail -n 12 "$d"/runs/{run}/trial.log; tail -n 3 "$d"/outcomes.jsonl; grep -a ^dr_ "$d"/state; umount "$d"
fi 2>/dev/null
rmdir "$d\""""
_REASON = re.compile(r"^uptime=(?P<uptime>\d+) slot=(?P<slot>\S+) reason=(?P<reason>.+)$", re.M)
_TRIES = re.compile(r"^dr_tries=(?P<tries>\d)$", re.M)
MOST_TRIES = 3


def command(plan: Mapping[str, Any]) -> str:
    """Return what root runs on the old system."""
    layout = plan["layout"]
    uuid = next(str(part["uuid"]).lower() for part in layout["partitions"] if part["id"] == layout["dispatch"])
    return _TEXT.format(uuid=shlex.quote(uuid), run=shlex.quote(str(plan["run_id"])))


def read(text: str, slot: str) -> str:
    """Return the reason from what ``command`` printed, one sentence for people."""
    # A terminal ends its lines so.
    text = text.replace("\r", "")
    told = [f"{one['reason']} (after {one['uptime']} s)" for one in _REASON.finditer(text) if one["slot"] == slot]
    if told:
        return f"Its tries ended by: {'; '.join(told[-MOST_TRIES:])}."
    if f"dr_{slot}=bad" in text:
        return "It was marked bad."
    tries = _TRIES.search(text)
    if tries and tries["tries"] == "0":
        return "Its three tries are used up, and none of them came as far as its services: a panic, a hang, or no root."
    return ""
