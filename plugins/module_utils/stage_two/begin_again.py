# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nobody came to a machine that holds: it restarts from its lifeboat, if that can still be read.

A restart helps where the cause is not on the disk: a controller that wants a reset, a driver or a program of this
environment that is in a state that nobody foresaw. It leads to the same step, so ``resume.MOST_RESUMES`` ends this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import load_lifeboat
from .work import BeginsAgain, Work, fault_record

if TYPE_CHECKING:
    from ..lifeboat.model import Lifeboat


def run(work: Work, lifeboat: Lifeboat) -> None:
    """Raise ``BeginsAgain`` where a restart leads back here; return where the machine had better go on waiting."""
    work.status.show("nobody came: is the lifeboat whole?", state="running")
    try:
        load_lifeboat.verify(work, lifeboat)
    except Exception as error:
        work.status.show(f"no restart: {fault_record(error, work.phase)['what']}")
        return
    work.status.show("nobody came: begins again from the lifeboat")
    raise BeginsAgain
