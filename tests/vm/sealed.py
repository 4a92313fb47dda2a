# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A migrated host that is off where its new system would start for the first time, and ways to break that system."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import slot_state
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout

from tests.lab.bundles import BROKEN

from . import disk_content, slots
from .conftest import Host
from .controller import Controller

STAGING_SECONDS = 900.0
STAGE_TWO_SECONDS = 1800.0
#: Seconds of a trial: a new system comes up in a third of that under emulation.
LIMIT = 150
#: The limit, the restart of a panic, and the recovery system's own start, under emulation on a busy machine.
FALL_SECONDS = 900.0
MIB = 1 << 20


@dataclass(frozen=True)
class Break:
    """What is broken, what the console then says of it, and how the run reports it."""

    apply: Callable[[Path, Path], None]
    proof: str
    fault: str = "convert.in_recovery"


def _files(files: dict[str, str]) -> Callable[[Path, Path], None]:
    return lambda root, _dispatch: slots.lay(files, root)


def _root_is_elsewhere(_root: Path, dispatch: Path) -> None:
    config = dispatch / "grub/grub.cfg"
    text = config.read_text()
    assert 'set dr_root="/dev/VA/root"' in text
    config.write_text(text.replace('set dr_root="/dev/VA/root"', 'set dr_root="/dev/VA/nowhere"'))


def _initramfs_hangs(_root: Path, dispatch: Path) -> None:
    """Let the archive of the guard, which the initramfs reads, hang it after it has armed itself."""
    from ansible_collections.dualroot.migrate.plugins.module_utils.boot import _trial_script, cpio

    early = _trial_script.EARLY.replace("@SECONDS@", "60") + "echo hangs >/dev/kmsg\nwhile :; do sleep 1000; done\n"
    (dispatch / "trial.cpio").write_bytes(cpio.pack({"conf/conf.d/dualroot-trial": early.encode()}))


BREAKS = {
    "sshd dead": Break(
        _files({f"etc/systemd/system/{name}": "-> /dev/null" for name in ("ssh.service", "ssh.socket")}),
        "no sshd listens",
    ),
    "kernel panic": Break(_files(BROKEN["panic"]), "Kernel panic - not syncing: sysrq triggered crash"),
    "hang": Break(_files(BROKEN["hang"]), "the system has not come up as a whole"),
    "network dead": Break(_files(BROKEN["offline"]), "the address 10.0.2.15 is missing"),
    "initramfs without root": Break(_root_is_elsewhere, "Rebooting automatically due to panic= boot argument"),
    "initramfs hangs": Break(_initramfs_hangs, "the initramfs has not found its root within 60 s"),
}


@dataclass(frozen=True)
class Sealed:
    """A host whose disk is as stage two left it; ``variables`` and ``plan`` are those of its run."""

    host: Host
    disk: Path
    places: dict[str, tuple[int, int]]
    variables: dict[str, Any]
    plan: dict[str, Any]


def seal(host: Host, keep_old: str) -> Sealed:
    """Migrate a host, and have it off where the new system would start for the first time."""
    machine = host.machine
    variables = {
        "dualroot_consent": 1,
        "dualroot_trial_limit": LIMIT,
        "dualroot_lifeboat": "auto",
        "dualroot_keep_old": keep_old,
    }
    controller = Controller(host, "migrate", **variables)
    try:
        machine.stop_at_reboot(STAGING_SECONDS)
        machine.start()
        machine.stop_at_reboot(STAGE_TWO_SECONDS)
    except BaseException:
        print(controller.outcome().output[-4000:])
        raise
    assert "the new system starts next" in machine.console()
    # Killed, because the tests start the rest of the run anew, each on its own copy of the disk.
    controller.kill()
    kept = machine.folder / "sealed.qcow2"
    shutil.move(machine.disk, kept)
    plan = json.loads(sorted(host.reports.glob(f"*/{host.name}/plan.json"))[-1].read_text())
    layout = ResolvedLayout.from_document(plan["layout"])
    group, volume = layout.volume(layout.slots["a"].root)
    start = layout.partition(group.partitions[0]).start_lba * layout.sector_bytes
    dispatch = layout.partition(layout.dispatch)
    places = {
        "root": (start + MIB + volume.first * group.extent_bytes, volume.bytes),
        "dispatch": (dispatch.start_lba * layout.sector_bytes, dispatch.sectors * layout.sector_bytes),
    }
    return Sealed(host, kept, places, variables, plan)


def start_broken(sealed: Sealed, what: Callable[[Path, Path], None] | None, tries: int) -> int:
    """Start the machine with a disk of its own; return where its part of the console begins."""
    machine = sealed.host.machine
    machine.stop()
    shutil.copyfile(sealed.disk, machine.disk)
    with disk_content.changed_at(machine.disk, machine.folder, sealed.places) as mounted:
        if what is not None:
            what(mounted["root"], mounted["dispatch"])
        state = slot_state.mark_trying(slot_state.read(mounted["dispatch"]).state, "a", tries)
        slot_state.write(mounted["dispatch"], state)
    since = len(machine.console())
    machine.start()
    return since
