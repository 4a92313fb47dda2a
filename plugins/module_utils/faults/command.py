# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the command runner; they can occur in any phase, so callers may narrow the phase."""

from __future__ import annotations

from .fault import FaultKind

FAILED = FaultKind(
    id="command.failed",
    phase="preflight",
    what="{command} ended with status {returncode}",
    why="The command said: {stderr}",
    how="Run the command by hand on the host to see its full output, mend the cause, and run again.",
)
MISSING = FaultKind(
    id="command.missing",
    phase="preflight",
    what="The program {program} is not on this system",
    why="It is needed for this step and no package is ever installed on the old system.",
    how="Install the package that brings {program}, or use a bundle whose environment carries it.",
)
TIMED_OUT = FaultKind(
    id="command.timed_out",
    phase="preflight",
    what="{command} did not end within {seconds} s",
    why="The device or service it waits for does not answer.",
    how="Look at the kernel log of the host for input/output errors, then run again.",
)
KINDS = (FAILED, MISSING, TIMED_OUT)
