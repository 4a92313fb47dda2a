# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase boot: everything that the new system needs to start, short of the boot sector."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import old_system, staging
from .work import Work

#: Takes the convert kernel and initrd from the lifeboat, until the recovery system has its own copy.
ENVIRONMENT = ".environment"


def run(work: Work) -> None:
    work.step("install", lambda: install(work))
    if work.plan.get("keep_old"):
        work.step("old", lambda: old_system.offer(work))


def install(work: Work) -> None:
    """Install dispatcher, slot state and recovery system."""
    if work.lifeboat is None:
        _install(work, work.machine.places.payload)
        return
    # On the disk, not in memory: together they are larger than all that stage two uses otherwise.
    folder = work.dispatch / ENVIRONMENT
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        for name, file_name in staging.BOOT_NAMES.items():
            work.parts.copy_part(work.node, work.lifeboat.part(name), folder / file_name, work.status.progress)
        _install(work, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _install(work: Work, environment: Path) -> None:
    places = work.machine.places
    work.parts.install_boot(
        work.machine.runner,
        work.resolved,
        work.node,
        work.dispatch,
        places.new,
        work.plan,
        environment,
        places.configuration,
    )
