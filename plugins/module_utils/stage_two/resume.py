# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""After a cut: go on from the journal in the lifeboat, but not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import journal
from ..archive.durable import write_file
from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..journal import Entry
from .work import Work, fault_record

if TYPE_CHECKING:
    from ..lifeboat.log import DiskJournal
    from ..lifeboat.model import Lifeboat

#: How often stage two may start again without finishing a step, before it waits for a person.
MOST_RESUMES = 10


def take_up(work: Work, lifeboat: Lifeboat) -> None:
    """Continue the journal of an earlier start; holds where starting again has not helped so far."""
    work.step("journal", lambda: _take_up(work, lifeboat), always=True)
    entries = work.journal.entries
    work.status.show("", resumed=journal.resumes(entries))
    count = journal.resumes_without_progress(kept(entries))
    if work.resumed and count > MOST_RESUMES:
        last = journal.last_finished(kept(entries))
        fault = Fault(kinds.STUCK, count=count, step="/".join(last) if last else "none")
        work.hold(fault_record(fault, work.phase))


def begin(work: Work, lifeboat: Lifeboat) -> None:
    """Begin the journal in the lifeboat with what was noted so far."""
    disk = work.parts.create_journal(work.node, lifeboat)
    for entry in work.journal.entries:
        disk.append(entry.to_document())
    keep_in(work, disk)


def keep_in(work: Work, disk: DiskJournal) -> None:
    """Let the journal of this start be continued on the disk."""
    needed = ("done", "resume")
    work.journal.keep = lambda entry: disk.append(entry.to_document(), needed=entry.event in needed)


def kept(entries: list[Entry]) -> list[Entry]:
    """Return the entries that say something of progress: what every start does again is none."""
    return [entry for entry in entries if entry.phase != "attach" or entry.event == "resume"]


def _take_up(work: Work, lifeboat: Lifeboat) -> None:
    machine = work.machine
    disk = work.parts.load_journal(work.node, lifeboat)
    keep_in(work, disk)
    write_file(machine.places.disk, f"{work.node}\n".encode())
    machine.spare_memory()
    boot = {"boot_id": machine.boot_id()}
    if not work.resumed or any(entry.detail == boot for entry in work.journal.entries if entry.event == "resume"):
        return
    work.journal.put_before([entry for entry in map(journal.from_document, disk.records) if entry is not None])
    work.take_up()
    _require_return(work)
    work.journal.add("attach", "journal", "resume", detail=boot, keep=True)


def _require_return(work: Work) -> None:
    """Raise, and be in front of the point of no return, where a person chose the lifeboat too early.

    Its entry is in the menu of UEFI firmware before control is taken. The start of ``no_return`` is on the disk
    before that, and should a disk have lost it, the firmware's order still says who was put first.
    """
    begun = any((entry.phase, entry.step) == ("partition", "no_return") for entry in work.journal.entries)
    if not begun and not work.parts.in_control(work.resolved, work.plan):
        work.machine.places.past_return.unlink()
        raise Fault(kinds.TOO_EARLY, run_id=work.plan["run_id"])
