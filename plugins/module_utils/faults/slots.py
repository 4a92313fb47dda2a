# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of the restart from one slot into the other, of the rollback, and of the road of an update."""

from __future__ import annotations

from .fault import FaultKind

FELL_BACK = FaultKind(
    id="slot.fell_back",
    phase="update",
    what="Slot {slot} was given up, and slot {running} runs again: {reason}",
    why="A new slot is tried three times. Each try that panics, hangs, cannot be reached or fails its checks ends in a "
    "restart, and after the last one the dispatcher takes the good slot.",
    how="Nothing is lost: the host runs what it ran before. Read what the slot left behind (`dualroot-slot reason` and "
    "the guide on updates), mend the bundle or the check, and update again.",
)
RESTART_IGNORED = FaultKind(
    id="slot.restart_ignored",
    phase="update",
    what="The host still runs {seconds} s after the restart was ordered",
    why="A service does not stop, or something holds back the restart (systemd inhibitor, molly-guard).",
    how="Look at `systemctl list-jobs` on the host and mend what holds it back; then run the playbook again. The slot "
    "was taken back, so a late restart ends in the system that runs now.",
)
NO_SLOT = FaultKind(
    id="slot.none_runs",
    phase="update",
    what="The host came back in a system that is no slot",
    why="The dispatcher was passed by: somebody chose another disk or entry, or another boot loader took over.",
    how="Look at the order of boot devices in the firmware and at `cat /proc/cmdline` on the host; restart it once "
    "more, then run again.",
)
NOT_DUAL = FaultKind(
    id="slot.not_dual",
    phase="update",
    what="The host runs no slot: {found}",
    why="Updates and rollbacks are for hosts that were converted; this one runs its old system, or is in the middle of "
    "a migration.",
    how="Convert the host with the migrate playbook first, or let its migration end.",
)
TIMED_OUT = FaultKind(
    id="slot.timed_out",
    phase="update",
    what="Slot {slot} did not come up within {elapsed}; now: {now}",
    why="The host hangs in a way that its trial guard does not see, its network is gone, or its tries take longer than "
    "dualroot_slot_timeout allows.",
    how="Look at the host's console. Each restart uses up one try of the slot, so resetting the host up to three times "
    "ends in the good slot. Then run again.",
)
NOT_GOOD = FaultKind(
    id="rollback.not_good",
    phase="rollback",
    what="Slot {slot} is {state}, and no system to go back to: {reason}",
    why="Going back restarts the host into the other slot, which is only safe where that slot has proven itself.",
    how="Let the host run what it runs, or install a system into slot {slot} with the update playbook. If you know "
    "better, run again with -e dualroot_rollback_force=true: the slot gets three tries, then this system comes back.",
)
NOTHING_THERE = FaultKind(
    id="rollback.nothing_there",
    phase="rollback",
    what="Slot {slot} is empty",
    why="Nothing was ever installed into it, so there is no system to go back to.",
    how="Install a system into it with the update playbook.",
)
OTHER_TRIAL = FaultKind(
    id="update.on_trial",
    phase="update",
    what="Slot {slot} is on trial: it holds {found}, and this run brings {wanted}",
    why="The system that runs has not proven itself, so the other slot is the only one to fall back to and must not be "
    "overwritten.",
    how="Run the playbook with the bundle that is on trial, which verifies it and marks it good, or go back with the "
    "rollback playbook; then update.",
)
KINDS = (
    FELL_BACK,
    RESTART_IGNORED,
    NO_SLOT,
    NOT_DUAL,
    TIMED_OUT,
    NOT_GOOD,
    NOTHING_THERE,
    OTHER_TRIAL,
)
