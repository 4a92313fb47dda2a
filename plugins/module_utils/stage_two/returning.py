# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Back to the old system: leave the evidence there, let the controller see it, restart.

Nothing here may keep the machine from restarting: each part is tried, and passed over if it fails. The one exception
is a one-shot entry that stays, because then a restart leads here again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..faults import stage_two as kinds
from ..faults.fault import Fault
from . import mounting, result, revive_mode, staging
from .machine import Machine
from .status import Status
from .work import Work, fault_record

#: Seconds that the controller gets to read the status; it writes ``seen`` when it has.
SEEN_SECONDS = 20.0
#: ``boot.one_shot.ENTRY_ID``, written out because that module is work of the old system.
ONE_SHOT = b"next_entry=dualroot-convert"
_GRUB_ENVIRONMENTS = ("boot/grub/grubenv", "boot/grub2/grubenv")


def go_back(work: Work, record: Mapping[str, str] | None) -> None:
    """Return to the old system; ``record`` is the fault, or ``None`` after a rehearsal."""
    what = f"because of {record['id']}" if record else "the rehearsal is over"
    fault = dict(record) if record else None
    work.status.show(f"back to the old system, {what}", state="returning", fault=fault)
    try:
        _leave_evidence(work, record)
    except Exception as error:
        work.machine.say(f"dualroot: the result could not be left in the old system: {type(error).__name__}")
    _withdraw(work)
    _require_forgotten(work, record)
    restart(work.machine, work.status)


def _withdraw(work: Work) -> None:
    """Take the unused boot path of the lifeboat away; left there it is harmless, but a person may choose it.

    The host's part is overwritten where the old system itself cannot: in its swap.
    """
    if work.lifeboat is None or not work.node:
        return
    try:
        work.parts.withdraw(work.machine.runner, work.node, work.resolved, work.plan)
    except Exception as error:
        work.machine.say(f"dualroot: the boot path of the lifeboat stays: {type(error).__name__}")
    if not any((entry.phase, entry.step) == ("load", "host") for entry in work.journal.entries):
        return  # nothing was written there by this start, and whose the places are was not looked at
    try:
        work.parts.shred_part(work.node, work.lifeboat.part("host"), work.plan["lifeboat"]["swaps"])
    except Exception as error:
        work.machine.say(f"dualroot: the host's part stays in swap: {type(error).__name__}")


def _require_forgotten(work: Work, record: Mapping[str, str] | None) -> None:
    """Hold where the one-shot entry is still there: a restart would begin this very run again, for ever.

    That is a disk that takes no writes, neither the boot loader's nor ours.
    """
    while _is_armed(work):
        first = record["id"] if record else "the rehearsal itself was right"
        work.hold(fault_record(Fault(kinds.ONE_SHOT_STAYS, first=first), work.phase))
        try:
            _leave_evidence(work, record)
        except Exception as error:
            work.machine.say(f"dualroot: the old system still takes no writes: {type(error).__name__}")


def _is_armed(work: Work) -> bool:
    """Tell whether the one-shot entry is surely on the disk; a disk that cannot be read tells nothing."""
    machine, where = work.machine, work.plan["staging"]
    try:
        mounting.unmount(machine, machine.places.old)
        device = staging.device(machine, where["uuid"])
        mounting.mount(
            machine, device, machine.places.old, where["fstype"], mounting.untouched_options(where["fstype"])
        )
        try:
            return any(
                line.startswith(ONE_SHOT)
                for name in _GRUB_ENVIRONMENTS
                if (machine.places.old / name).is_file()
                for line in (machine.places.old / name).read_bytes().split(b"\n")
            )
        finally:
            mounting.unmount(machine, machine.places.old)
    except Exception as error:
        machine.say(f"dualroot: the boot loader's environment cannot be read: {type(error).__name__}")
        return False


def restart(machine: Machine, status: Status) -> None:
    """Give the controller its time, then restart."""
    machine.wait_for(machine.places.run / "seen", SEEN_SECONDS)
    machine.places.reboot.touch()
    status.show("restarts")
    status.stop_sampling()
    try:
        mounting.unmount(machine, machine.places.old)
    except Exception as error:
        machine.say(f"dualroot: the old root stays mounted: {type(error).__name__}")
    machine.reboot()


def _leave_evidence(work: Work, record: Mapping[str, str] | None) -> None:
    """Write the result into the old system; its file system is the same that it mounts in a minute."""
    machine, where = work.machine, work.plan["staging"]
    mounting.unmount(machine, machine.places.old)
    if revive_mode.is_restore(work.plan):
        work.parts.activate(machine.runner, work.resolved)
    device = staging.device(machine, where["uuid"])
    mounting.mount(machine, device, machine.places.old, where["fstype"], "rw")
    try:
        folder = machine.places.inside(machine.places.old, where["run_directory"])
        # Every time: a fault before the look for an earlier result would else come back for ever.
        forget_one_shot(machine.places.old)
        ran_before = record is not None and record["id"] == kinds.ALREADY_RAN.id
        if folder.is_dir() and not ran_before:
            result.write(work, folder, result.document(work, "returned", record))
    finally:
        mounting.unmount(machine, machine.places.old)


def forget_one_shot(old: Path) -> None:
    """Empty our ``next_entry`` in GRUB's environment, where GRUB itself could not.

    Nothing is written where GRUB did, or where a person chose another entry. In place, because GRUB
    reads the blocks that it knows (grub-editenv(1) keeps 1024 bytes).
    """
    for name in _GRUB_ENVIRONMENTS:
        path = old / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        lines = content.split(b"\n")
        kept = b"\n".join(b"next_entry=" if line.startswith(ONE_SHOT) else line for line in lines)
        if kept != content:
            handle = os.open(path, os.O_WRONLY | os.O_DSYNC)
            try:
                os.pwrite(handle, kept.ljust(len(content), b"#"), 0)
            finally:
                os.close(handle)
