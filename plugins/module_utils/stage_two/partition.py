# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase partition: the point of no return, then the new table."""

from __future__ import annotations

from ..archive.durable import write_file
from .work import Work


def run(work: Work) -> None:
    work.step("no_return", lambda: pass_return(work))
    work.step("signatures", lambda: work.parts.tear_down(work.machine.runner, work.node))
    work.step("table", lambda: work.parts.apply_table(work.machine.runner, work.node, work.resolved))


def pass_return(work: Work) -> None:
    """Note that the old system is about to go: from here on nothing reboots by itself."""
    write_file(work.machine.places.disk, f"{work.node}\n".encode())
    write_file(work.machine.places.past_return, f"{work.plan['run_id']}\n".encode())
    work.machine.survive_oops()
