#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage a restore on a running slot: wiring of module_utils/revive/staging.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: revive_stage
short_description: Stage the restore of a host's old system and arm it for the next start
version_added: 0.1.0
description:
  - Puts convert kernel, initramfs and the host's own part on the dispatch file system, and a block in front of the
    dispatcher's configuration that starts them once.
  - The order and the state of the slots are not touched. What cannot be loaded, and every start after the first, is
    the dispatcher's as before.
  - The archive of the old root and the evidence of its disk have to lie in the staging directory of the plan.
options:
  state:
    description:
      - V(armed) stages and arms, V(disarmed) takes everything back. Slot B, which is given up for a lifeboat, is then
        made again, empty.
    type: str
    choices: [armed, disarmed]
    default: armed
  plan:
    description:
      - The frozen plan of the restore. Needed for V(armed).
    type: dict
  source:
    description:
      - Where kernel and initramfs come from, an address or a folder of the host; by default the staging directory.
    type: str
    default: ''
  proof:
    description:
      - The proof of the bundle, as M(dualroot.migrate.bundle_check) returned it.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Tells what would be done.
    support: full
  diff_mode:
    description: Names and sizes, never content.
    support: full
requirements:
  - Python >= 3.9 on the managed host
  - openssl on the managed host, unless the bundle is not signed
seealso:
  - module: dualroot.migrate.revive_plan
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Stage the restore and arm it
  dualroot.migrate.revive_stage:
    plan: "{{ dualroot_plan }}"
    proof: "{{ dualroot_checked.proof }}"
  become: true

- name: Take it back
  dualroot.migrate.revive_stage:
    state: disarmed
  become: true
"""

RETURN = r"""
changes:
  description: What was done, or would be done in check mode, with C(what), C(path) and C(bytes).
  returned: success
  type: list
  elements: dict
armed:
  description: Whether the next start is the restore's.
  returned: success
  type: bool
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import hide_login, run_module
from ..module_utils.boot.staging import CAPTURE, read_capture
from ..module_utils.bundle import proof
from ..module_utils.plan import document
from ..module_utils.revive import staging
from ..module_utils.runner import CommandRunner


def stage(module, runner):
    """Check the proof, stage and arm; return the changes."""
    plan = document.load(module.params["plan"])
    capture = read_capture(Path(plan["staging"]["directory"]) / CAPTURE)
    files = proof.check_on_host(runner, module.params["proof"], plan, capture, time.time())
    extra = {f"{proof.FOLDER}/{name}": content for name, content in files.items()}
    order = staging.Staging(runner, plan, module.params["source"], extra)
    return order.pending() if module.check_mode else order.apply()


def work(module):
    """Return the module's result."""
    runner = CommandRunner()
    disarms = module.params["state"] == "disarmed"
    changes = staging.disarm(runner, dry=module.check_mode) if disarms else stage(module, runner)
    lines = "".join(f"{change.what}: {change.path}\n" for change in changes)
    return {
        "changed": bool(changes),
        "changes": [vars(change) for change in changes],
        "armed": staging.is_armed(),
        "diff": {"before": lines if disarms else "", "after": "" if disarms else lines},
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["armed", "disarmed"], "default": "armed"},
            "plan": {"type": "dict"},
            "source": {"type": "str", "default": ""},
            "proof": {"type": "dict", "default": {}},
        },
        required_if=[("state", "armed", ["plan"])],
        supports_check_mode=True,
    )
    hide_login(module, module.params["source"])
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
