# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which way a host goes with its old system: kept until commit, or not, and why."""

from __future__ import annotations

from collections.abc import Iterator

from ...faults import preflight as kinds
from .. import keep_old
from ..context import Context
from ..finding import Finding, find


def check(context: Context) -> Iterator[Finding]:
    """Say what becomes of the old system; nothing where the operator does not want it kept."""
    wish = context.options.keep_old
    if wish == "none" or context.layout is None:
        return  # without a layout nobody knows; the layout's own finding says more
    kept = keep_old.to_plan(context)
    if kept is not None:
        yield find(kinds.OLD_KEPT, how_kept=keep_old.describe(kept))
        return
    reasons = "; ".join(context.old_not_kept) or "nothing more is known"
    yield find(kinds.KEEP_OLD if wish == "required" else kinds.OLD_NOT_KEPT, reasons=reasons)
