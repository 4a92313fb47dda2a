# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase attach: be reachable, find the planned disk, and read the old root without changing it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..faults import stage_two as kinds
from ..faults.fault import Fault
from . import mounting, resume, revive_mode, sshd, staging
from .work import Work


def run(work: Work) -> None:
    # The server first: the moment the network works, the controller can read what happens.
    _reachable(work, "login", lambda: _login(work))
    _reachable(work, "network", lambda: _network(work))
    work.step("settle", work.machine.settle, always=True)
    work.step("disk", lambda: find_disk(work), always=True)
    if work.past_return:
        if work.lifeboat is not None:
            resume.take_up(work, work.lifeboat)
        return
    # Reachable by now, so that the controller is told; nothing of the disk was used yet.
    work.step("proof", lambda: check_proof(work), always=True)
    if revive_mode.is_restore(work.plan):
        # Staged on a slot, that is on a logical volume, and nothing here activates one by itself.
        work.step("activate", lambda: work.parts.activate(work.machine.runner, work.resolved), always=True)
    work.step("staging", lambda: mount_staging(work), always=True)
    work.step("first_time", lambda: _first_time(work), always=True)


def _reachable(work: Work, name: str, action: Callable[[], None]) -> None:
    """Make a step that only an attended run needs: without it, no go could come."""
    if work.past_return or not work.plan["attended"]:
        try:
            action()
        except Exception as error:
            work.unreachable[name] = action
            work.skip(name, f"it failed ({type(error).__name__}) and nobody waits for it")
        return
    work.step(name, action, always=True)


def _login(work: Work) -> None:
    work.parts.prepare_login(work.capture, work.plan["login_user"])
    sshd.start(work.machine)


def _network(work: Work) -> None:
    try:
        work.parts.bring_up_network(work.machine.runner, work.capture["network"])
    except Fault as fault:
        raise Fault(kinds.NO_NETWORK, problem=fault.what) from fault


def find_disk(work: Work) -> None:
    """Find the planned disk; once its table is new, by the node that was found before."""
    note = work.machine.places.disk
    if work.past_return and note.is_file():
        work.node = note.read_text().strip()
    elif work.past_return and work.lifeboat is not None:
        # Its table may be old, new or torn.
        work.node = work.parts.find_lifeboat(work.lifeboat, work.plan["disk"])
    else:
        work.node = work.parts.find_disk(work.machine.runner, work.plan["disk"], work.resolved.disk_guid)


def check_proof(work: Work) -> None:
    """Check what came beside the plan: who signed the bundle, and that plan and machine belong to it."""
    work.parts.check_proof(work.machine.runner, work.machine.places.proof, work.plan, work.capture)


def mount_staging(work: Work) -> None:
    """Mount the file system of the staged files, so that not a bit of it changes."""
    where = work.plan["staging"]
    device = staging.device(work.machine, where["uuid"])
    options = mounting.untouched_options(where["fstype"])
    mounting.mount(work.machine, device, work.machine.places.old, where["fstype"], options)


def _first_time(work: Work) -> None:
    """Refuse a run that ended before: a one-shot entry that was not forgotten would go on for ever."""
    earlier = result_file(work)
    if not earlier.is_file():
        return
    try:
        outcome = str(json.loads(earlier.read_bytes())["outcome"])
    except (ValueError, KeyError, TypeError):
        outcome = "unknown"
    raise Fault(kinds.ALREADY_RAN, run_id=work.plan["run_id"], outcome=outcome)


def result_file(work: Work) -> Path:
    """Return where the old system keeps the result of this run."""
    folder = work.machine.places.inside(work.machine.places.old, work.plan["staging"]["run_directory"])
    return folder / "result.json"
