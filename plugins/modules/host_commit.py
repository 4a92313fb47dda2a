#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finish a converted host: wiring of module_utils/lifeboat/erase.py and verify/record.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_commit
short_description: Overwrite the lifeboat of a converted host, and write its record
version_added: 0.1.0
description:
  - With O(step=old) the old system that was kept for the trial is no slot any more. This comes first, when the slot
    that took over is marked good; its partition goes with the partition table of the moment commit.
  - With O(step=lifeboat) the host's own part of the lifeboat (it has password hashes and private keys) and its
    journal are overwritten on the bare disk and read back. They lie in blocks that the new layout has not used yet, so
    this comes before the partitions, volumes and file systems of the moment commit are made. Kernel, partition table
    and LVM are asked first whether anything uses such a place by now; then it is left alone and told.
  - With O(step=record) it completes C(result.json) of the run on the new system with what the controller measured,
    and says in C(/etc/ansible/facts.d/dualroot.fact) that the conversion is committed.
  - A host whose record is complete is left alone.
options:
  step:
    description:
      - What is done.
    type: str
    choices: [old, lifeboat, record]
    default: record
  disk:
    description:
      - The disk that was converted, as its node. Required for O(step=lifeboat).
    type: path
  plan:
    description:
      - The frozen plan of the host.
    type: dict
    required: true
  conversion:
    description:
      - What M(dualroot.migrate.convert) returned; empty where an earlier run of the playbook did the conversion.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Reports what would be written.
    support: full
  diff_mode:
    description: Shows the fact file before and after, and the places of the lifeboat.
    support: full
requirements:
  - Python >= 3.9 on the managed host
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Overwrite what the lifeboat holds of the host
  dualroot.migrate.host_commit:
    step: lifeboat
    disk: "{{ dualroot_verified.disk }}"
    plan: "{{ dualroot_plan }}"
  become: true

- name: Write the record of the host
  dualroot.migrate.host_commit:
    plan: "{{ dualroot_plan }}"
    conversion: "{{ dualroot_conversion }}"
  become: true
"""

RETURN = r"""
forgotten:
  description: The slot that the old system had; empty where it had none any more.
  returned: when O(step=old)
  type: str
  sample: b
overwritten:
  description: Places of the disk that were overwritten, as pairs of start and length in bytes.
  returned: when O(step=lifeboat)
  type: list
  elements: list
left:
  description: Places that were left alone, because something else lies there now, each with what it is.
  returned: when O(step=lifeboat)
  type: list
  elements: str
result:
  description: The whole record of the run, as it lies on the host.
  returned: when O(step=record)
  type: dict
fact:
  description: What the host now says of itself.
  returned: when O(step=record)
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.boot import kept_old, root_overlay, slot_state, slots
from ..module_utils.layout.model import ResolvedLayout
from ..module_utils.lifeboat import erase
from ..module_utils.plan import document
from ..module_utils.run_folders import RUNS
from ..module_utils.runner import CommandRunner
from ..module_utils.verify import record


def forget_old(module):
    """Take the old system out of the slots; return the module's result."""
    plan, runner = document.load(module.params["plan"]), CommandRunner()
    found = kept_old.look(slots.DISPATCH, plan)
    if found.changes and not module.check_mode:
        kept_old.forget(runner, found, slots.DISPATCH, plan)
    return {"changed": found.changes, "forgotten": found.slot if found.changes else ""}


def erase_lifeboat(module):
    """Overwrite what the lifeboat holds of the host; return the module's result."""
    plan = document.load(module.params["plan"])
    resolved = ResolvedLayout.from_document(plan["layout"])
    node, folder = module.params["disk"], Path("/", RUNS, plan["run_id"])
    found = erase.look(CommandRunner(), resolved, node, folder, plan["run_id"])
    if not module.check_mode:
        erase.erase(found, node, folder)
    for extent, user in found.kept:
        module.warn(f"bytes {extent.start} to {extent.end} of {node} held a part of the lifeboat and are now of {user}")
    return {
        "changed": found.described,
        "overwritten": [[one.start, one.length] for one in found.erased],
        "left": [f"{extent.start}+{extent.length}: {user}" for extent, user in found.kept],
        "diff": {"before": "", "after": "".join(f"{line}\n" for line in erase.describe(found))},
    }


def write_record(module):
    """Write what differs; return the module's result."""
    plan = document.load(module.params["plan"])
    # The start of this very system may be writing the fact too.
    with slot_state.locked(slots.DISPATCH):
        wanted = record.wanted(plan, module.params["conversion"], Path("/"), slots.DISPATCH)
        changed, before = record.write(wanted, Path("/"), pretend=True)
        if changed and not module.check_mode:
            # Below an overlay in memory also where it is read at the next start.
            with root_overlay.lasting(CommandRunner()) as roots:
                for root in roots:
                    record.write(wanted, root)
    return {
        "changed": changed,
        "result": wanted.result,
        "fact": wanted.fact,
        "diff": {"before": before, "after": record.dump(wanted.fact)},
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "step": {"type": "str", "choices": ["old", "lifeboat", "record"], "default": "record"},
            "disk": {"type": "path"},
            "plan": {"type": "dict", "required": True},
            "conversion": {"type": "dict", "default": {}},
        },
        required_if=[("step", "lifeboat", ["disk"])],
        supports_check_mode=True,
    )
    work = {"old": forget_old, "lifeboat": erase_lifeboat, "record": write_record}
    run_module(module, lambda: work[module.params["step"]](module))


if __name__ == "__main__":
    main()
