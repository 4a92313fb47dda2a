# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage two from its first to its last phase; which phase does what is in the file of its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import phases
from ..faults import stage_two as kinds
from ..faults.fault import Fault
from ..journal import Journal
from ..shape import parse
from . import (
    attach,
    await_go,
    begin_again,
    boot,
    configure,
    load,
    partition,
    recovery,
    restore,
    returning,
    revive,
    revive_mode,
    seal,
    volumes,
    watchdog,
)
from .await_go import Rehearsed
from .machine import Machine
from .parts import Parts
from .status import Status
from .work import BeginsAgain, Stopped, Work, fault_record

if TYPE_CHECKING:
    from ..lifeboat.model import Lifeboat

#: The phases of ``phases.STAGE_TWO_PHASES``; ``await`` is a word of Python, hence the other file name.
RUN: dict[str, Callable[[Work], None]] = {
    "attach": attach.run,
    "load": load.run,
    "await": await_go.run,
    "partition": partition.run,
    "volumes": volumes.run,
    "restore": restore.run,
    "configure": configure.run,
    "boot": boot.run,
    "seal": seal.run,
}


def main(machine: Machine, parts: Parts) -> int:
    """Do what the kernel line asks for: ``dualroot.mode`` is ``convert``, ``restore`` or ``recovery``."""
    mode = machine.arguments().get("dualroot.mode", "")
    machine.places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mode == "recovery":
        recovery.run(machine, parts, _optional(machine, "plan.json"), _optional(machine, "capture.json"))
        return 0
    if mode not in ("convert", revive_mode.MODE):
        machine.say(f"dualroot: dualroot.mode={mode or '(nothing)'} is none of convert, restore and recovery")
        return 2
    return _convert(machine, parts, mode)


def _convert(machine: Machine, parts: Parts, mode: str) -> int:
    try:
        work = prepare(machine, parts)
    except Exception as error:
        record = fault_record(error, "attach")
        status = Status(machine, machine.arguments().get("dualroot.run", ""), mode)
        past_return = machine.places.past_return.exists()
        state = "holding" if past_return else "returning"
        status.show(f"{record['id']}: {record['what']}", state=state, fault=record)
        if past_return:
            _let_in(machine, parts)
            return 1
        # Without a plan there is no way to be reached, nor a place to leave a result.
        returning.restart(machine, status)
        return 1
    work.status.start_sampling()
    try:
        return _make(work)
    finally:
        # Whoever starts the program again in this process must be the only one to write its status.
        work.status.stop_sampling()


def _make(work: Work) -> int:
    machine = work.machine
    _watch(work)
    try:
        for name in phases.STAGE_TWO_PHASES:
            _run_phase(work, name)
    except Stopped as stopped:
        returning.go_back(work, stopped.record)
        return 1
    except Rehearsed:
        returning.go_back(work, None)
        return 0
    except BeginsAgain:
        begin_again.restart(machine)
        return 0
    machine.wait_for(machine.places.run / "seen", seal.SEEN_SECONDS)
    work.status.stop_sampling()
    machine.places.reboot.touch()
    machine.reboot()
    return 0


def _let_in(machine: Machine, parts: Parts) -> None:
    """Let the person in who is waited for, by what of the documents can still be read."""
    plan, capture = _optional(machine, "plan.json"), _optional(machine, "capture.json")
    for name, action in recovery.ways_in(machine, parts, plan, capture):
        try:
            action()
        except Exception as error:
            machine.say(f"dualroot: no {name}: {type(error).__name__}")


def _watch(work: Work) -> None:
    """Let the watchdog restart a machine that hangs, as long as there is something that it can start."""
    machine = work.machine
    given = watchdog.given_limit(machine.arguments())
    if given == 0:
        return
    dog = watchdog.Watchdog(
        machine,
        work.status,
        work.plan,
        watchdog.device(machine.places.root),
        lambda: work.lifeboat is not None or not work.past_return,
        given,
    )
    dog.start()
    restart = machine.reboot

    def reboot() -> None:
        # Else it would also end the start of the next system.
        dog.stop()
        restart()

    machine.reboot = reboot


def _run_phase(work: Work, name: str) -> None:
    work.status.begin_phase(name)
    (revive.RUN if revive_mode.is_restore(work.plan) else RUN)[name](work)
    work.status.end_phase()


def prepare(machine: Machine, parts: Parts) -> Work:
    """Read and check plan and capture; raises a fault where they are not what was staged."""
    if machine.arguments().get("dualroot.resume") == "1":
        # The lifeboat starts nothing else; the first process has noted it already.
        machine.places.past_return.touch()
    document = _read(machine, "plan.json")
    # Past the point of no return there is nothing left for which the plan could be too old.
    now = None if machine.places.past_return.exists() else machine.clock()
    plan = parts.load_plan(document, now)
    booted = machine.arguments().get("dualroot.run", "")
    if booted and booted != plan["run_id"]:
        raise Fault(kinds.OTHER_RUN, booted=booted, planned=plan["run_id"])
    # A plan of the one must never be carried out by the phases of the other.
    if revive_mode.is_restore(plan) != (machine.arguments().get("dualroot.mode") == revive_mode.MODE):
        raise Fault(kinds.OTHER_MODE, booted=machine.arguments().get("dualroot.mode"), planned=plan["mode"])
    capture = parts.load_capture(_read(machine, "capture.json"))
    resolved = parts.layout(plan["layout"])
    status = Status(machine, plan["run_id"], plan["mode"], plan["digest"])
    journal = Journal(machine.places.run / "journal.jsonl", machine.clock)
    lifeboat = _lifeboat(machine, parts, plan)
    work = Work(machine, parts, status, journal, plan, capture, resolved, lifeboat)
    if lifeboat is not None:
        work.begin_again = lambda: begin_again.run(work, lifeboat)
    return work


def _lifeboat(machine: Machine, parts: Parts, plan: Mapping[str, Any]) -> Lifeboat | None:
    """Return the lifeboat of this run, ``None`` where the plan has none."""
    wish = plan["lifeboat"]
    if not isinstance(wish, Mapping) or not wish["used"]:
        return None
    lifeboat = parts.lifeboat(_read(machine, "lifeboat.json"))
    if (lifeboat.run_id, lifeboat.plan_digest) != (plan["run_id"], plan["digest"]):
        raise Fault(kinds.OTHER_RUN, booted=lifeboat.run_id, planned=plan["run_id"])
    return lifeboat


def _read(machine: Machine, name: str) -> Mapping[str, Any]:
    path = machine.places.configuration / name
    try:
        document = parse(path.read_bytes())
    except OSError as error:
        raise Fault(kinds.NO_CONFIGURATION, file=name, problem=error.strerror) from error
    except ValueError as error:
        # The text of the error may quote the document.
        raise Fault(kinds.NO_CONFIGURATION, file=name, problem="it is not JSON") from error
    if not isinstance(document, dict):
        raise Fault(kinds.NO_CONFIGURATION, file=name, problem="it is not a mapping")
    return document


def _optional(machine: Machine, name: str) -> Mapping[str, Any]:
    try:
        return _read(machine, name)
    except Fault as fault:
        machine.say(f"dualroot: {fault.what}")
        return {}
