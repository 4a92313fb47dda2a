# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power cuts of updates and rollbacks, on a whole converted host.

One machine is updated and rolled back by the playbooks, and every write to its disk is logged, those of GRUB
and of both systems too.

    python -m tests.crash.update --points 40 --seconds 3600
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from tests.lab.bundles import build_bundle
from tests.lab.converted import HOST, PREFIX, convert
from tests.lab.hardware import Options
from tests.lab.machine import running
from tests.lab.playbook import run_playbook

from . import host_cuts
from .host_cuts import NotRecorded, Recorded, control_writes, state_in

PARTS = ("update", "rollback")


def record(work: Path, name: str = "debian13-va", bundle: str = "debian13-va-2") -> Recorded:
    """Update and roll back a converted host, every write logged; what is recorded already is used again."""
    image, built = convert(name), build_bundle(bundle)
    manifest = hashlib.sha256((built.folder / "manifest.json").read_bytes()).hexdigest()[:8]
    folder = work / f"update-{image.folder.resolve().name}-{manifest}"
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        variables = {**built.variables(), "dualroot_consent": 1}
        with running(folder / HOST, Options(image=PREFIX + name, log_writes=True), image) as machine:
            position = host_cuts.position(machine)
            parts = {}
            for part in PARTS:
                outcome = run_playbook(part, variables, folder / "reports", inventory=machine.inventory)
                (folder / f"{part}.log").write_text(outcome.output)
                if outcome.returncode != 0:
                    raise NotRecorded(f"{part}:\n{outcome.output[-4000:]}")
                parts[part] = (position, host_cuts.position(machine))
                position = parts[part][1]
            machine.power_down()
        plan = sorted((folder / "reports").glob(f"*/{HOST}/plan.json"))[0]
        shutil.copyfile(plan, folder / "plan.json")
        (folder / "parts.json").write_text(json.dumps(parts))
        recorded = host_cuts.load(folder, image)
        # Slot a before the update, and slot b when it was first allowed to start.
        host_cuts.keep(recorded, {"a": [recorded.parts["update"][0]], "b": [_first_allowed(recorded)]})
    return host_cuts.load(folder, image)


def _first_allowed(recorded: Recorded) -> int:
    first, last = recorded.parts["update"]
    for index in control_writes(recorded.log, first, last):
        if state_in(recorded.log, index, "b") == "trying":
            return index + 1
    raise NotRecorded("the update never let slot b start")


if __name__ == "__main__":
    sys.exit(host_cuts.main("update", __doc__, record))
