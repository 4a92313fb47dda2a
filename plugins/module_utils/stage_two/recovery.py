# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery system: no slot could be booted, or a person chose it. Be reachable, say why, and stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..boot import outcome, slot_command, slots
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from . import mounting, sshd
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
    concluded = False
    while not machine.places.reboot.exists():
        missing = [(name, action) for name, action in missing if not _works(status, name, action, fault=None)]
        # Last, because a disk that does not answer must not keep a person out.
        concluded = concluded or _works(status, "outcome", lambda: conclude(machine, status, plan))
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


def conclude(machine: Machine, status: Status, plan: Mapping[str, Any]) -> None:
    """Record why the slots fell back, as a good slot does; and have ``dualroot-slot`` at hand for a person.

    From then on no slot counts as being tried. The reason stays in the status.
    """
    root = machine.places.root
    slot_command.write_command(root)
    outcome.write_program(root)
    layout = ResolvedLayout.from_document(plan["layout"])
    system = layout.file_system(layout.dispatch)
    mounting.mount(machine, f"UUID={system.uuid}", root / slots.DISPATCH.relative_to("/"), system.kind, "ro")
    told = machine.runner.run(("sh", str(root / outcome.PATH))).text
    for line in told.splitlines():
        status.show(line, state="recovery", reason=line)


def _login(machine: Machine, parts: Parts, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
    parts.prepare_login(capture, str(plan.get("login_user", "root")))
    sshd.start(machine)


def _works(status: Status, name: str, action: Callable[[], None], **fields: Any) -> bool:
    """Try it; ``fields`` of the status are changed where it works."""
    try:
        action()
    except Fault as fault:
        status.show(f"no {name} yet: {fault.what}", state="recovery", fault=fault.record())
        return False
    except Exception as error:
        # Text of other errors may quote what they could not read.
        status.show(f"no {name} yet: {type(error).__name__}", state="recovery")
        return False
    status.show(f"{name} works", state="recovery", **fields)
    return True
