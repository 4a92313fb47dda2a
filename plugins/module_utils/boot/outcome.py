# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The outcome of a trial that failed: recorded by the system that runs afterwards, a good slot or the recovery system.

The slot on trial leaves one line for each start and one for each end that it knows of (``trial``); a try without any
ended by a panic, a hang or a reset. The program puts them together into one reason, marks the slot bad, so that
nothing tries it again, and adds the outcome to the records.
"""

from __future__ import annotations

from pathlib import Path

from . import records, system_units
from ._outcome_script import OUTCOME, UNIT
from ._slot_command_script import CHANGE, READ

PATH = "usr/lib/dualroot/slot-outcome"
UNIT_NAME = "dualroot-outcome.service"

TEXT = READ + CHANGE + OUTCOME


def note_tries(dispatch: Path, slot: str, tries: int) -> None:
    """Note that a slot is given tries anew: those before are another story. A slot without a record has no log."""
    record = records.read_slots(dispatch).get(slot)
    if record is None or not record.run_id:
        return
    folder = dispatch / "runs" / record.run_id
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "trial.log").open("a", encoding="ascii") as log:
        log.write(f"uptime=0 slot={slot} left={tries} given\n")


def write(root: Path) -> None:
    """Put program and unit into the slot below ``root``."""
    write_program(root)
    system_units.write(root, UNIT_NAME, UNIT.replace("@OUTCOME@", f"/{PATH}"), "multi-user.target.wants")


def write_program(root: Path) -> None:
    """Put the program alone into a system that has no systemd: the recovery system."""
    system_units.write_script(root, PATH, TEXT)
