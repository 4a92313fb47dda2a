# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase volumes: physical volumes, volume groups, logical volumes and file systems."""

from __future__ import annotations

from .work import Work


def run(work: Work) -> None:
    work.step("volumes", lambda: work.parts.ensure_volumes(work.machine.runner, work.node, work.resolved))
    work.step("settle", work.machine.settle)
