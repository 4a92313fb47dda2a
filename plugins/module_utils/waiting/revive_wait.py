# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wait for a host that goes from a running slot through stage two back into its old system.

The old system has none of this project's markers, and on a host that was converted nothing but a restore can have
brought it back.
"""

from __future__ import annotations

from ..faults import revive as kinds
from .machine import Decision, Failed, Finished, Wait
from .state import FellBack, NewSystem


class ReviveWait(Wait):
    """As ``Wait``; ``expected.slot`` is the slot that runs before, and what the host is in again where it failed."""

    def _old_system(self, now: float) -> Decision:
        return self._fell_back(FellBack(getattr(self.state, "boot_id", "")))

    def _fell_back(self, state: FellBack) -> Decision:
        self.boot_ids["new"] = state.boot_id
        return Finished("restored")

    def _new_system(self, now: float, state: NewSystem) -> Decision:
        last = self.last_stage_two
        if last is None and state.boot_id == self.expected.old_boot_id:
            return self._not_gone_yet(now)
        if self._withheld is not None:
            return Failed("returned", self._withheld)
        if last is not None and last.fault is not None:
            return Failed("returned", last.fault)
        return self._failed(kinds.WENT_BACK, "returned", slot=state.slot)
