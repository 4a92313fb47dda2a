# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase volumes: physical volumes, volume groups, logical volumes and file systems."""

from __future__ import annotations

from collections.abc import Callable

from .work import Work


def run(work: Work) -> None:
    work.step("volumes", _making(work))
    if work.resumed:
        # Nothing in this environment activates a volume group by itself.
        work.step("activate", lambda: work.parts.activate(work.machine.runner, work.resolved), always=True)
    work.step("settle", work.machine.settle)


def _making(work: Work) -> Callable[[], None]:
    """Return what makes the volumes, each time that it is called."""
    half_made = [work.begun("volumes")]

    def make() -> None:
        runner = work.machine.runner
        if half_made[0] and work.lifeboat is not None:
            # A cut inside LVM's metadata or inside mkfs: not trusted, whatever it looks like.
            work.parts.forget_volumes(runner, work.node, work.resolved, work.kept_partitions)
        half_made[0] = True
        work.parts.ensure_volumes(runner, work.node, work.resolved)

    return make
