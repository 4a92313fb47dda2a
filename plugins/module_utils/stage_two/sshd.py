# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SSH server of stage two: accounts, keys and host keys are the captured ones."""

from __future__ import annotations

from ..faults import stage_two as kinds
from ..faults.fault import Fault
from .machine import Machine

#: -E: what it has to say goes to a file of its own, not between the lines of the console.
ARGV = ("/usr/sbin/sshd", "-E", "/run/dualroot/sshd.log")


def is_running(machine: Machine) -> bool:
    pid = machine.read("run/sshd.pid").strip()
    return pid.isdigit() and (machine.places.root / "proc" / pid).is_dir()


def start(machine: Machine) -> None:
    """Start the server, unless it runs; raises ``stage_two.no_sshd``."""
    if is_running(machine):
        return
    (machine.places.root / "run/sshd").mkdir(parents=True, exist_ok=True)
    result = machine.runner.run(ARGV, accept=range(256))
    if result.returncode != 0:
        said = (machine.read("run/dualroot/sshd.log") + result.error_text).strip()
        raise Fault(kinds.NO_SSHD, problem=said[-400:] or f"nothing, status {result.returncode}")
