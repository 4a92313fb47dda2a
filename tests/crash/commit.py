# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Power cuts of the first start of a new system, and of the commit of its migration.

A host is migrated up to the moment when stage two hands over. From there every write is logged: those of GRUB and of
the new system until it can be reached, and those of the run that verifies and commits it. A state that is started is
migrated again as well, as an operator would do it, and has to end converted.

    python -m tests.crash.commit --points 40 --seconds 3600
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab.bundles import build_bundle
from tests.lab.converted import HOST
from tests.lab.hardware import Options
from tests.lab.image import Image, build
from tests.lab.machine import Machine, running
from tests.lab.playbook import run_playbook
from tests.lab.recipes import RECIPES
from tests.vm.conftest import Host
from tests.vm.sealed import seal

from . import host_cuts
from .host_cuts import NotRecorded, Recorded

#: A name of its own, because the machine that is logged is called as the host is.
SEALED = "sealed"


def record(work: Path, source: str = "debian11", bundle: str = "debian13-va") -> Recorded:
    """Migrate a host, its first start and its commit logged; what is recorded already is used again."""
    image, built = build(RECIPES[source]), build_bundle(bundle)
    manifest = hashlib.sha256((built.folder / "manifest.json").read_bytes()).hexdigest()[:8]
    folder = work / f"commit-{image.folder.name}-{manifest}"
    base = Image(image.recipe, folder / "base")
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        base.folder.mkdir(parents=True)
        with running(folder / SEALED / HOST, Options(image=source), image) as machine:
            sealed = seal(Host(machine, built, folder / "reports"), keep_old="none")
        subprocess.run(["qemu-img", "convert", "-O", "raw", str(sealed.disk), str(base.disk)], check=True)
        sealed.disk.unlink()
        image.credentials.save(base.folder / "credentials.json")
        variables = {**built.variables(), **sealed.variables}
        (folder / "variables.json").write_text(json.dumps(variables))
        (folder / "plan.json").write_text(json.dumps(sealed.plan))
        # The reports as they were when the controller died: every further run goes on from a copy of them.
        shutil.copytree(folder / "reports", folder / "kept-reports")
        with running(folder / HOST, Options(image=SEALED, log_writes=True), base) as machine:
            reached = host_cuts.position(machine)
            wrong = _finish(folder, machine)
            if wrong:
                raise NotRecorded(wrong)
            parts = {"first start": (0, reached), "commit": (reached, host_cuts.position(machine))}
            machine.power_down()
        (folder / "parts.json").write_text(json.dumps(parts))
        recorded = host_cuts.load(folder, base)
        host_cuts.keep(recorded, {"a": [0, parts["commit"][1]]})
    return host_cuts.load(folder, base, trial=True, finish=partial(_finish, folder))


def _finish(folder: Path, machine: Machine) -> str:
    """Let a new controller, which has the reports of the one that died, bring the migration to its end."""
    variables: dict[str, Any] = json.loads((folder / "variables.json").read_text())
    reports = machine.folder / "reports"
    shutil.copytree(folder / "kept-reports", reports)
    outcome = run_playbook("migrate", variables, reports, inventory=machine.inventory)
    if outcome.returncode != 0 or outcome.result(HOST)["outcome"] != "converted":
        return f"the migration does not come to its end: {outcome.output[-4000:]}"
    state = machine.ssh("sudo dualroot-slot status --json")
    slots = json.loads(state)["slots"]
    return "" if slots["a"]["state"] == "good" else f"slot a is not good: {state}"


if __name__ == "__main__":
    sys.exit(host_cuts.main("commit", __doc__, record))
