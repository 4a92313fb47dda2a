# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``dualroot-slot``: the slots for a person at the console, and for programs where there is no Python.

Every slot carries it, and so does the recovery system. The playbook ``status`` sends the same text along, so that it
also works on hosts that carry another release of it, or none.
"""

from __future__ import annotations

from pathlib import Path

from ..archive.durable import write_file
from ._slot_command_script import CHANGE, READ
from ._slot_show_script import SHOW

PATH = "usr/local/sbin/dualroot-slot"
UNIT_NAME = "dualroot-fact.service"

TEXT = READ + CHANGE + SHOW

UNIT = """\
# Written by dualroot.migrate: the state of the slots may have changed while this one did not run.
[Unit]
Description=Tell Ansible facts which slot runs and which boots next
ConditionKernelCommandLine=dualroot.slot
RequiresMountsFor=/boot/dispatch
# Nobody waits for it, least of all the start of the system.
After=local-fs.target multi-user.target

[Service]
Type=oneshot
Nice=19
ExecStart=/usr/local/sbin/dualroot-slot fact

[Install]
WantedBy=multi-user.target
"""


def write(root: Path) -> None:
    """Put command and unit into the system below ``root``."""
    units = root / "etc/systemd/system"
    wanted = units / "multi-user.target.wants" / UNIT_NAME
    for folder in ((root / PATH).parent, wanted.parent):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(root / PATH, TEXT.encode("ascii"), 0o755)
    write_file(units / UNIT_NAME, UNIT.encode("ascii"))
    if not wanted.is_symlink():
        wanted.symlink_to(f"../{UNIT_NAME}")


def write_command(root: Path) -> None:
    """Put the command alone into a system that has no systemd: the recovery system."""
    (root / PATH).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(root / PATH, TEXT.encode("ascii"), 0o755)
