# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a slot carries so that the host itself can tell a healthy start from another, and fall back alone.

- the trial guard (``trial``), which ends a try that is not healthy or that nobody can reach;
- the health checks: ``dualroot-health.service`` runs what lies in ``required.d`` and ``wanted.d`` and is needed by
  ``boot-complete.target``, as systemd and greenboot know them; the operator's health commands are such checks too;
- the outcome (``outcome``): a good slot, or the recovery system, records why the other slot fell back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import outcome, records, system_units, trial
from ._health_script import CHECKS, COMMAND, COMPLETE_UNIT, NOT_YET, TARGET, UNIT

UNIT_NAME = "dualroot-health.service"
COMPLETE_NAME = "dualroot-complete.service"
CHECKS_PATH = "usr/lib/dualroot/health-check"
NOT_YET_PATH = "etc/tmpfiles.d/dualroot-health.conf"
CHECK_FOLDER = "etc/dualroot/check"
#: Checks of payloads and of operators, by what a failure means.
KINDS = ("required", "wanted")
COMMAND_PREFIX = "50-dualroot-command-"
_TARGET = "boot-complete.target"
_TITLE_LENGTH = 120


def write(
    root: Path,
    dispatch: Path,
    plan: Mapping[str, Any],
    capture: Mapping[str, Any],
    health_commands: Sequence[str] = (),
    decisive: bool = True,
) -> None:
    """Write all of it into the system below ``root`` and to ``dispatch``, both mounted writable.

    ``plan`` needs ``slot``, ``run_id`` and ``trial_limit``. The commands become required checks, or wanted ones where
    they are not ``decisive``. Repeating it is harmless; checks of other origin are left alone.
    """
    trial.write(root, dispatch, plan, capture)
    system_units.write_script(root, CHECKS_PATH, CHECKS)
    unit = UNIT.replace("@CHECKS@", f"/{CHECKS_PATH}").replace("@GUARD@", f"/{trial.GUARD_PATH}")
    system_units.write(root, UNIT_NAME, unit, f"{_TARGET}.requires")
    system_units.write_script(root, NOT_YET_PATH, NOT_YET, 0o644)
    system_units.write(root, COMPLETE_NAME, COMPLETE_UNIT, "multi-user.target.wants")
    _write_target(root)
    write_commands(root, health_commands, decisive)
    outcome.write(root)


def write_commands(root: Path, commands: Sequence[str], decisive: bool = True) -> None:
    """Make the operator's commands checks of the system below ``root``, in the place of those of an earlier run."""
    for kind in KINDS:
        folder = root / CHECK_FOLDER / f"{kind}.d"
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for old in folder.glob(f"{COMMAND_PREFIX}*"):
            old.unlink()
    kind = "required" if decisive else "wanted"
    for number, command in enumerate(commands, 1):
        # Private: it is shell text of the operator's, who may have put a secret into it.
        path = f"{CHECK_FOLDER}/{kind}.d/{COMMAND_PREFIX}{number:02d}"
        system_units.write_script(root, path, command_text(command), 0o700)


def command_text(command: str) -> str:
    """Return the check for a command, which the host shows by its first line."""
    title = records.plain(command.strip().split("\n")[0], _TITLE_LENGTH)
    head, _place, tail = COMMAND.replace("@TITLE@", title, 1).rpartition("@COMMAND@")
    return f"{head}{command}{tail}"


def _write_target(root: Path) -> None:
    own = system_units.FOLDER, "usr/lib/systemd/system", "lib/systemd/system"
    if not any((root / folder / _TARGET).is_file() for folder in own):
        system_units.write_script(root, f"{system_units.FOLDER}/{_TARGET}", TARGET, 0o644)
