# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase await: the controller's go proves that the captured network works, before the first write."""

from __future__ import annotations

from ..faults import stage_two as kinds
from ..faults.fault import Fault
from . import mounting, old_system
from .attach import find_disk
from .work import Work


class Rehearsed(Exception):
    """The rehearsal is over: back to the old system, and nothing is wrong."""


def run(work: Work) -> None:
    """Wait for the go and leave the disk alone; raises ``Rehearsed`` at the end of a rehearsal."""
    if work.past_return:
        return
    if work.plan["attended"]:
        work.step("go", lambda: wait_for_go(work))
    else:
        work.skip("go", "this run is unattended")
    work.step("rehearse", lambda: _rehearse(work), always=True)
    work.step("release", lambda: release(work), always=True)
    if work.plan.get("keep_old"):
        work.step("old", lambda: old_system.check(work))
    if work.plan["mode"] == "rehearse":
        raise Rehearsed


def wait_for_go(work: Work) -> None:
    """Wait until ``go`` holds the digest of the plan."""
    seconds = int(work.plan["go_timeout"])
    go = work.machine.places.run / "go"
    work.status.show(f"waits for the go, up to {seconds} s", state="awaiting")
    try:
        if not work.machine.wait_for(go, seconds):
            raise Fault(kinds.NO_GO, seconds=seconds)
        found = go.read_text("utf-8", "replace").strip()
        if found != work.plan["digest"]:
            raise Fault(kinds.WRONG_GO, found=ascii(found[:64]), wanted=work.plan["digest"])
    finally:
        work.status.show("", state="running")


def _rehearse(work: Work) -> None:
    """Make every computation of what follows once, while nothing is at stake."""
    find_disk(work)
    what = work.parts.describe_change(work.node, work.resolved)
    work.parts.check_ahead(work.machine.runner, work.node, work.resolved, work.plan)
    work.status.show(f"would {what} on {work.node}")


def release(work: Work) -> None:
    """Let go of the disk; raises ``stage_two.disk_in_use`` where something else still holds it."""
    mounting.unmount(work.machine, work.machine.places.old)
    users = work.parts.disk_users(work.node)
    if users:
        raise Fault(kinds.DISK_IN_USE, node=work.node, users=", ".join(users))
