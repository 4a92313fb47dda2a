# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nobody came to a machine that holds: it restarts from its lifeboat, if that surely leads back here.

A restart helps where the cause is not on the disk: a driver, a controller that takes no writes until it is reset, a
program of this environment in a state that nobody foresaw. It leads to the same step, so ``resume.MOST_RESUMES`` ends
this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import load_lifeboat
from .machine import Machine
from .work import BeginsAgain, Work, fault_record

if TYPE_CHECKING:
    from ..lifeboat.model import Lifeboat

#: Seconds that the kernel's trigger may take.
_TRIGGER_SECONDS = 10.0


def run(work: Work, lifeboat: Lifeboat) -> None:
    """Raise ``BeginsAgain`` where a restart leads back here; return where the machine had better go on waiting."""
    work.status.show("nobody came: is the lifeboat whole?", state="running")
    try:
        load_lifeboat.verify(work, lifeboat)
    except Exception as error:
        work.status.show(f"no restart: {fault_record(error, work.phase)['what']}")
        return
    # Somebody may have come meanwhile: a large payload takes minutes.
    if work.is_attended_to() or (work.places.run / "retry").exists():
        return
    work.status.show("nobody came: begins again from the lifeboat")
    raise BeginsAgain


def restart(machine: Machine) -> None:
    """Restart at once by the kernel's own trigger (admin-guide/sysrq.rst), as a cut would.

    Nothing is written before it: a disk that takes no writes would be waited for without an end, and nothing that is
    not on the disk yet is needed.
    """
    trigger = machine.places.root / "proc/sysrq-trigger"
    if trigger.exists():
        trigger.write_text("b")
        machine.sleep(_TRIGGER_SECONDS)
    machine.reboot()
