# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``make demo``: a host with a single root becomes a dual system before your eyes.

Builds a bundle and a Debian 11 gateway, migrates it with ``playbooks/migrate.yml``, and logs in to the
new system with the old key, the old password and the ``known_hosts`` written before.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time

from . import image, recipes
from .bundles import BundleError, build_bundle
from .guest import MachineError
from .hardware import Options
from .image import ImageError
from .machine import end_on_signal, running
from .playbook import TOP, run_playbook

HOST = "gw-0815"
IMAGE = "debian11"
BUNDLE = "debian13-va"
FOLDER = TOP / ".work/demo"
REPORTS = TOP / "dualroot-report"
LOOK = '. /etc/os-release; echo "$PRETTY_NAME"; hostname; ip -4 -br address; lsblk -o NAME,SIZE,FSTYPE,MOUNTPOINT'


def main() -> int:
    started = time.monotonic()
    end_on_signal()
    try:
        return _demo(started)
    except (BundleError, ImageError, MachineError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _demo(started: float) -> int:
    _say(started, f"building the bundle {BUNDLE} and the host {HOST} ({IMAGE})")
    # Both wait for the network and for one processor most of the time.
    source = threading.Thread(target=image.build, args=(recipes.RECIPES[IMAGE],))
    source.start()
    bundle = build_bundle(BUNDLE, show=True)
    source.join()
    shutil.rmtree(FOLDER, ignore_errors=True)
    _say(started, f"starting {HOST}")
    with running(FOLDER / HOST, Options(image=IMAGE)) as machine:
        print(machine.ssh(LOOK))
        _say(started, "migrating: ansible-playbook playbooks/migrate.yml")
        variables = {**bundle.variables(), "dualroot_consent": 1}
        outcome = run_playbook("migrate", variables, REPORTS, inventory=machine.inventory, show=True)
        if outcome.returncode != 0:
            print(f"demo: the migration ended with status {outcome.returncode}; console: {machine.serial_log}")
            return 1
        _say(started, "logging in with the key, the password and the known_hosts of before")
        print(machine.ssh(LOOK))
        print(f"with the old password: {machine.login_by_password()}")
    result = outcome.result(HOST)
    for name in ("run_id", "outcome", "slot", "downtime_seconds", "peak_ram_bytes", "payload_bytes"):
        print(f"{name:>18}  {result[name]}")
    print(f"{'record':>18}  {outcome.runs()[-1] / HOST / 'result.json'}")
    _say(started, "done")
    return 0 if result["outcome"] == "converted" else 1


def _say(started: float, text: str) -> None:
    print(f"\n=== {time.monotonic() - started:4.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
