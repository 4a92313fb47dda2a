# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery system: no slot could be booted, or a person chose it. Be reachable, and stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..faults.fault import Fault
from . import sshd
from .machine import Machine
from .parts import Parts
from .status import Status

#: Seconds between two tries to be reachable, for networks that come up late.
RETRY_SECONDS = 60.0
_REASONS = {
    "chosen": "a person chose it",
    "no_slot": "no slot could be booted",
    "damaged": "the slot state cannot be read",
}


def run(machine: Machine, parts: Parts, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
    """Bring network and SSH up and stay; ``machine.places.reboot`` or a person ends it."""
    status = Status(machine, str(plan.get("run_id", "")), "recovery", str(plan.get("digest", "")))
    given = machine.arguments().get("dualroot.reason", "")
    reason = _REASONS.get(given, given or _REASONS["no_slot"])
    status.show(f"the recovery system runs: {reason}", state="recovery")
    status.start_sampling()
    missing = ways_in(machine, parts, plan, capture)
    while not machine.places.reboot.exists():
        missing = [(name, action) for name, action in missing if not _works(status, name, action)]
        machine.wait_for(machine.places.reboot, RETRY_SECONDS, pause=2.0)
    status.stop_sampling()
    machine.reboot()


def ways_in(
    machine: Machine, parts: Parts, plan: Mapping[str, Any], capture: Mapping[str, Any]
) -> list[tuple[str, Callable[[], None]]]:
    """Return what makes the machine reachable, each with its name; any of it may fail."""
    return [
        ("login", lambda: _login(machine, parts, plan, capture)),
        ("network", lambda: parts.bring_up_network(machine.runner, capture["network"])),
    ]


def _login(machine: Machine, parts: Parts, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
    parts.prepare_login(capture, str(plan.get("login_user", "root")))
    sshd.start(machine)


def _works(status: Status, name: str, action: Callable[[], None]) -> bool:
    try:
        action()
    except Fault as fault:
        status.show(f"no {name} yet: {fault.what}", state="recovery", fault=fault.record())
        return False
    except Exception as error:
        # Text of other errors may quote what they could not read.
        status.show(f"no {name} yet: {type(error).__name__}", state="recovery")
        return False
    status.show(f"{name} works", state="recovery", fault=None)
    return True
