# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase boot: everything that the new system needs to start, short of the boot sector."""

from __future__ import annotations

from .work import Work


def run(work: Work) -> None:
    places = work.machine.places
    work.step(
        "install",
        lambda: work.parts.install_boot(
            work.machine.runner,
            work.resolved,
            work.node,
            work.dispatch,
            places.new,
            work.plan,
            places.payload,
            places.configuration,
        ),
    )
