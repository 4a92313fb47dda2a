# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a serial log tells at a glance: each start, who started, and what went wrong.

The end of a log shows the system that runs last; why another one does not run stands far above it.
"""

from __future__ import annotations

import re

_TELLING = re.compile(
    r"dualroot|Linux version|Kernel panic|BUG:|Oops|Call Trace|Out of memory|[Ww]atchdog|GRUB|Booting|SeaBIOS|BdsDxe"
    r"|emergency|Emergency|rescue|error:|Failed to|Timed out|soft lockup|rcu.*stall|Multi-User System|reboot: "
)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: A line longer than this is a kernel command line or a dump: its beginning tells which.
_WIDTH = 160


def landmarks(console: str, most: int = 80) -> str:
    """Return the last ``most`` telling lines of a serial log, each with its number."""
    lines = _COLOUR.sub("", console).replace("\r", "").split("\n")
    telling = [f"{number}: {line[:_WIDTH]}" for number, line in enumerate(lines, 1) if _TELLING.search(line)]
    return "\n".join(telling[-most:])
