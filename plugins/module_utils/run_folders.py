# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host keeps what it knows of its runs, whichever system it runs."""

from __future__ import annotations

#: A folder for each run, by its id; below the root of the system that it belongs to.
RUNS = "var/lib/dualroot/runs"
