# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase partition: the point of no return, then the new table."""

from __future__ import annotations

from ..archive.durable import write_file
from . import old_system
from .work import Work


def run(work: Work) -> None:
    runner = work.machine.runner
    work.step("no_return", lambda: pass_return(work))
    if work.lifeboat is not None:
        work.step(
            "firmware",
            lambda: work.parts.settle_after_return(runner, work.node, work.resolved, work.plan),
        )
    if work.plan.get("keep_old"):
        work.step("old", old_system.shrinking(work))
    work.step("signatures", lambda: work.parts.tear_down(runner, work.node, work.kept_partitions, work.kept_places))
    work.step("table", lambda: work.parts.apply_table(runner, work.node, work.resolved))


def pass_return(work: Work) -> None:
    """Let the lifeboat start from now on, and note that the old system is about to go.

    Without a lifeboat nothing may reboot by itself from here on. With one every start of the machine
    ends here again, so that a panic or the watchdog may restart it.
    """
    if work.lifeboat is not None:
        work.parts.take_control(work.machine.runner, work.node, work.resolved, work.plan, work.lifeboat)
    write_file(work.machine.places.disk, f"{work.node}\n".encode())
    write_file(work.machine.places.past_return, f"{work.plan['run_id']}\n".encode())
    if work.lifeboat is None:
        work.machine.survive_oops()
