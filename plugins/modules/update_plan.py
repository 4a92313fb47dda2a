#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge a running dual-system host for an update: wiring of module_utils/update."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: update_plan
short_description: Judge a running dual-system host for an update, and make its plan
version_added: 0.1.0
description:
  - Reads slots, records, disk, programs and configuration of a host that runs one of its slots, and tells whether a
    bundle may be installed into the other one. All findings come at once, each with what, why and how.
  - Where nothing refuses, it returns the frozen plan for M(dualroot.migrate.slot_install).
  - Only reads.
options:
  manifest:
    description:
      - The bundle's manifest, as M(dualroot.migrate.bundle_check) returned it.
    type: dict
    required: true
  options:
    description:
      - C(run_id) and C(host) are required.
      - C(manifest_sha256) and C(signed_by) tell which bundle it is, and who signed it.
      - C(login_user), C(trial_limit) and C(kernel_arguments) as for a migration; without arguments those of the
        running slot are kept.
      - C(allow_downgrade) accepts a bundle that is older than what runs.
      - C(capture_paths) and C(carry_paths) are checked as M(dualroot.migrate.slot_install) will need them.
      - C(bundle_layout) is the name of the bundle's own layout; it is only told that the host keeps its own.
    type: dict
    required: true
  mount:
    description:
      - Where the dispatch file system is mounted.
    type: path
    default: /boot/dispatch
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
requirements:
  - Python >= 3.9 on the managed host
seealso:
  - module: dualroot.migrate.slot_install
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Judge the host
  dualroot.migrate.update_plan:
    manifest: "{{ dualroot_checked.manifest }}"
    options:
      run_id: 20261120T191500Z-1a2b3c
      host: "{{ inventory_hostname }}"
      manifest_sha256: "{{ dualroot_checked.manifest_sha256 }}"
      signed_by: "{{ dualroot_checked.fingerprint }}"
      login_user: admin
      carry_paths: [/var/lib/postgresql]
  become: true
  register: judged
"""

RETURN = r"""
verdict:
  description:
    - V(refuse) where any finding refuses, V(same) where the running slot is good and holds this very payload,
      otherwise V(proceed).
  returned: success
  type: str
  sample: proceed
findings:
  description: Everything that was found, the worst first.
  returned: success
  type: list
  elements: dict
refused:
  description: The record of the fault V(preflight.refused), which sums up what refuses; V(null) otherwise.
  returned: success
  type: dict
lines:
  description: Slots and findings as lines for a person.
  returned: success
  type: list
  elements: str
plan:
  description: The frozen plan with its C(digest); V(null) unless the verdict is V(proceed).
  returned: success
  type: dict
capture:
  description: What is carried over, without its secrets.
  returned: success
  type: dict
running:
  description: The running slot, with C(slot), C(state), C(run_id), C(bundle_name), C(bundle_version) and
    C(payload_sha256).
  returned: success
  type: dict
target:
  description: The slot that would be written, with C(slot), C(state), C(name), C(version), C(run_id) and C(bytes).
  returned: success
  type: dict
free_bytes:
  description: What is free in the update's own folder C(/var/lib/dualroot), for a payload that has to be sent there.
  returned: success
  type: int
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.capture import document, network
from ..module_utils.capture.redact import redact
from ..module_utils.probe.mounts import space
from ..module_utils.runner import CommandRunner
from ..module_utils.update import carry, host, judge
from ..module_utils.update.options import load


def work(module):
    """Read and judge the host; return the module's result."""
    host.require_root()
    manifest = module.params["manifest"]
    chosen = load({"now": int(time.time()), **module.params["options"]})
    runner = CommandRunner()
    found = host.read(runner, Path(module.params["mount"]), compression=manifest["payload"]["compression"])
    capture = document.read(
        Path("/"), runner, {"login_user": chosen.login_user, "extra_paths": list(chosen.capture_paths)}
    )
    noticed = [*capture["findings"]]
    for problem in network.render_problems(capture["network"], manifest["payload"]["network_renderer"]):
        if problem not in noticed:
            noticed.append(problem)
    carried = carry.look(chosen.carry_paths, found.layout)
    judged = judge.judge(found, manifest, chosen, capture, judge.of_capture(capture, noticed, chosen), carried)
    return {"changed": False, **judged, "capture": redact(capture), "free_bytes": space(Path("/var/lib"))[1]}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "manifest": {"type": "dict", "required": True},
            "options": {"type": "dict", "required": True},
            "mount": {"type": "path", "default": "/boot/dispatch"},
        },
        supports_check_mode=True,
    )
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
