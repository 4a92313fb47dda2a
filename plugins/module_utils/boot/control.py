# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who starts next from the system disk, for both firmwares: the old system, the lifeboat, the dispatcher.

Control changes hands twice, each time by one write of one sector (BIOS) or one file sector and one
variable (UEFI): ``take_control`` from the old system to the lifeboat, which is the point of no return,
and ``hand_over`` from the lifeboat to the dispatcher, which is the last act of stage two. Between the
two, every start of the machine is the lifeboat's, whatever state table, volumes and files are in.

Every function can be called again after a cut at any moment. ``plan["firmware"]`` decides who does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..runner import Runner

if TYPE_CHECKING:
    from ..layout.model import ResolvedLayout
    from ..lifeboat.model import Lifeboat

Plan = Mapping[str, Any]


def prepare_lifeboat(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan, lifeboat: Lifeboat) -> None:
    """Make the boot path of the lifeboat, unused as yet: the old system starts as before.

    BIOS: GRUB's core image with the places of kernel, initrd and host part, in the lifeboat's part
    ``core``. UEFI: files on the old ESP. Written, flushed, read back. Raises ``Fault`` of the area boot.
    """
    _firmware(plan).prepare_lifeboat(runner, node, resolved, plan, lifeboat)


def take_control(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan, lifeboat: Lifeboat) -> None:
    """Let the lifeboat start from now on: the point of no return. Does nothing where it does already.

    Raises ``Fault`` of the area boot before the write where the lifeboat's boot path is not intact, and
    after it where the write did not take.
    """
    _firmware(plan).take_control(runner, node, resolved, plan, lifeboat)


def require_control(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan, lifeboat: Lifeboat) -> None:
    """Raise a ``Fault`` of the area boot unless the lifeboat is what starts next, by a boot path that is whole.

    After ``hand_over`` it is not, nor where a write of ``take_control`` did not come through.
    """
    _firmware(plan).require_control(runner, node, resolved, plan, lifeboat)


def in_control(resolved: ResolvedLayout, plan: Plan) -> bool:
    """Tell whether the firmware starts this project's loader of its own accord: BIOS knows no other way to it."""
    return bool(_firmware(plan).in_control(resolved))


def withdraw(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """On a return to the old system, take back what ``prepare_lifeboat`` left where the firmware looks.

    UEFI: the entry that is in no boot order, and our files on the ESP. BIOS: nothing, no one reads the core.
    """
    _firmware(plan).withdraw(runner, node, resolved, plan)


def settle_after_return(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """After ``take_control``, take away every other way into the old system that is about to go.

    UEFI: the removable-media path and the old vendor's loaders. BIOS: nothing, LBA 0 is the only way.
    """
    _firmware(plan).settle_after_return(runner, node, resolved, plan)


def hand_over(runner: Runner, node: str, resolved: ResolvedLayout, plan: Plan) -> None:
    """Let the dispatcher start from now on: the last act of ``seal``, all file systems unmounted.

    Raises ``Fault`` of the area boot; then the lifeboat (without one: nothing) is still what starts.
    """
    _firmware(plan).hand_over(runner, node, resolved, plan)


def _firmware(plan: Plan) -> Any:
    # One of the two is never needed on a host; Python starts slowly under emulation.
    if plan["firmware"] == "uefi":
        from . import uefi

        return uefi
    from . import lifeboat_bios

    return lifeboat_bios
