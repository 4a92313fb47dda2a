#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Install a bundle into the slot that does not run: wiring of module_utils/update."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: slot_install
short_description: Install a bundle into the slot that does not run
version_added: 0.1.0
description:
  - Makes the file system of the other slot anew, streams the payload into it, carries the configuration of the running
    system over, reads everything back from the disk and compares it with what was written, and lets the dispatcher try
    the slot at the next starts.
  - The running slot is not written. From before the first write until the last check the target is marked bad, so
    whatever happens meanwhile, the host boots what it runs.
  - From an http(s) address nothing is stored on the way, and a connection that breaks is taken up where it ended.
  - Does not restart the host.
  - How far it is can be read from C(/run/dualroot/update.json) meanwhile.
options:
  plan:
    description:
      - The frozen plan that M(dualroot.migrate.update_plan) made.
    type: dict
    required: true
  source:
    description:
      - The http(s) address of the bundle; or a folder on the host that holds the payload; or the payload itself.
    type: str
    required: true
  capture_paths:
    description:
      - Files and folders that are carried over beside the configuration, in memory, with their owners by name.
    type: list
    elements: str
    default: []
  carry_paths:
    description:
      - Files and folders of any size that are copied from the running slot into the new one.
      - What lies on file systems that both slots mount is passed over.
    type: list
    elements: str
    default: []
  health_commands:
    description:
      - Shell commands that must succeed in the new slot; the host itself runs them while the slot is on trial.
    type: list
    elements: str
    default: []
  decisive:
    description:
      - Whether a health command that fails ends the trial of the slot. With V(false) it is only told.
    type: bool
    default: true
  mount:
    description:
      - Where the dispatch file system is mounted.
    type: path
    default: /boot/dispatch
attributes:
  check_mode:
    description: Checks plan and payload, and tells whether there is something to do.
    support: full
  diff_mode:
    description: Shows state and bundle of the slot before and after.
    support: full
requirements:
  - Python >= 3.9, GNU tar, and by the compression of the payload zstd, xz or gzip on the managed host
seealso:
  - module: dualroot.migrate.update_plan
  - module: dualroot.migrate.slot_mark
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Install the bundle into the other slot, straight from its address
  dualroot.migrate.slot_install:
    plan: "{{ judged.plan }}"
    source: https://bundles.example.com/gateway-7
    carry_paths: [/var/lib/postgresql]
    health_commands: [systemctl is-active nginx]
  become: true
  register: installed
"""

RETURN = r"""
slot:
  description: The slot that was written.
  returned: success
  type: str
  sample: b
state:
  description: Its state afterwards.
  returned: success
  type: str
  sample: trying
run_id:
  description: The run that installed it.
  returned: success
  type: str
record:
  description: What the host's records say of the slot; empty in check mode.
  returned: success
  type: dict
payload_sha256:
  description: SHA-256 of the packed payload.
  returned: success
  type: str
content_sha256:
  description: SHA-256 over all files of the slot, as they were read back from the disk.
  returned: success
  type: str
files:
  description: Files, folders and links of the slot; 0 where nothing was done.
  returned: success
  type: int
bytes:
  description: Size of the packed payload.
  returned: success
  type: int
unpacked_bytes:
  description: Size of the unpacked tar.
  returned: success
  type: int
reconnects:
  description: One text for each time that a download was taken up again.
  returned: success
  type: list
  elements: str
peak_ram_bytes:
  description: The most memory that the module and its programs had at one time, by looks at intervals.
  returned: success
  type: int
phases:
  description: What it did when, each with C(name), C(started) (seconds since 1970) and C(seconds).
  returned: success
  type: list
  elements: dict
notes:
  description: What of the payload could not be kept.
  returned: success
  type: list
  elements: str
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

import os
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import hide_login, run_module
from ..module_utils.boot import fact, records, slot_state
from ..module_utils.plan import document
from ..module_utils.runner import CommandRunner
from ..module_utils.update import install
from ..module_utils.update.host import require_root
from ..module_utils.update.payload import source_of
from ..module_utils.update.progress import Progress


def described(mount, slot):
    """Return a slot as the diff shows it."""
    record = records.read_slots(mount).get(slot)
    held = f"{record.name} {record.version}" if record else ""
    return {"state": slot_state.read(mount).state.state_of(slot), "bundle": held}


def work(module):
    """Install, or tell what would be done; return the module's result."""
    require_root()
    params = module.params
    plan, mount = document.load(params["plan"]), Path(params["mount"])
    source = source_of(params["source"], plan["payload"])
    order = install.Order(
        plan,
        source,
        tuple(params["capture_paths"]),
        tuple(params["carry_paths"]),
        tuple(params["health_commands"]),
        params["decisive"],
    )
    before = described(mount, plan["slot"])
    if module.check_mode:
        done = install.done_before(plan, mount)
        if done is None:
            install.check(order, mount)
            done = install.Installed(True, "trying")
        bundle = plan["bundle"]
        after = {"state": done.state, "bundle": f"{bundle['name']} {bundle['version']}"}
    else:
        # The host's own work goes first.
        os.nice(10)
        done = install.install(CommandRunner(), order, Progress(plan["run_id"]), dispatch=mount)
        after = described(mount, plan["slot"])
        with slot_state.locked(mount):
            fact.refresh(Path("/"), mount)
    record = records.read_slots(mount).get(plan["slot"])
    return {
        **asdict(done),
        "slot": plan["slot"],
        "run_id": plan["run_id"],
        "payload_sha256": plan["payload"]["sha256"],
        "record": asdict(record) if record and record.run_id == plan["run_id"] else {},
        "reconnects": list(getattr(source, "reconnects", ())),
        "diff": {"before": before, "after": after},
    }


def main():
    """Run the module."""
    texts = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict", "required": True},
            "source": {"type": "str", "required": True},
            "capture_paths": texts,
            "carry_paths": texts,
            "health_commands": texts,
            "decisive": {"type": "bool", "default": True},
            "mount": {"type": "path", "default": "/boot/dispatch"},
        },
        supports_check_mode=True,
    )
    hide_login(module, module.params["source"])
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
