#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Change the state of a slot of a dual-system host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: slot_mark
short_description: Change the state of a slot of a dual-system host
version_added: 0.1.0
description:
  - Writes the slot state file and its copy on the dispatch partition, one sector each, in place and synchronously.
  - The dispatch file system is made writable only for that, and read-only again in any case.
  - A damaged copy is mended by any write.
  - The fact file of the host, C(/etc/ansible/facts.d/dualroot.fact), is brought up to date.
options:
  slot:
    description:
      - The slot whose state changes. Required together with O(state).
    type: str
    choices: [a, b]
  state:
    description:
      - V(good) for a slot that proved itself, V(trying) for a complete but unproven one; both make the slot the
        preferred one.
      - V(bad) for one that failed or is about to be written, V(empty) for one that holds nothing.
    type: str
    choices: [good, trying, bad, empty]
  tries:
    description:
      - How often a slot that is V(trying) is booted before the dispatcher falls back; from 1 to 3.
    type: int
    default: 3
  next:
    description:
      - What to boot once at the next start, whatever its state, a slot or V(r) for the recovery system.
      - V(none) takes that back.
    type: str
    choices: [a, b, r, none]
  force:
    description:
      - Mark even the last bootable slot V(bad) or V(empty); the host then starts its recovery system.
    type: bool
    default: false
  initialize:
    description:
      - Begin with empty slots where both copies of the state are lost, instead of failing.
    type: bool
    default: false
  event:
    description:
      - What is told of the slot in the records of the host, beside the change; it is told once, however often the task
        runs. Without it nothing is told.
    type: str
    choices: [installed, good, bad, fell_back, rolled_back, restarted, removed, made, restored]
  reason:
    description:
      - Why, for people; shown by the playbook C(status) and by C(dualroot-slot).
    type: str
    default: ''
  run_id:
    description:
      - The run that O(event) is told of; by default the one that installed the slot.
    type: str
    default: ''
  mount:
    description:
      - Where the dispatch file system is mounted.
    type: path
    default: /boot/dispatch
attributes:
  check_mode:
    description: Tells the state after the change without writing it.
    support: full
  diff_mode:
    description: Shows the state before and after.
    support: full
  platform:
    description: Linux hosts with two slots.
    support: full
    platforms: linux
seealso:
  - module: dualroot.migrate.slot_info
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Keep the new system
  dualroot.migrate.slot_mark:
    slot: a
    state: good

- name: Give a slot up, and tell why
  dualroot.migrate.slot_mark:
    slot: b
    state: bad
    event: bad
    reason: the health command failed

- name: Start the recovery system once
  dualroot.migrate.slot_mark:
    next: r
"""

RETURN = r"""
order:
  description: The preferred order of the slots.
  returned: success
  type: list
  elements: str
  sample: [a, b]
slots:
  description: The state of each slot.
  returned: success
  type: dict
  sample: {a: good, b: empty}
tries:
  description: How many boots of a slot that is V(trying) are left.
  returned: success
  type: int
  sample: 0
next:
  description: What is booted once at the next start; empty for as usual.
  returned: success
  type: str
  sample: ''
generation:
  description: How often the state was written.
  returned: success
  type: int
  sample: 4
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.boot import fact, records, slot_state, slots
from ..module_utils.runner import CommandRunner


def work(module):
    """Change the state, or tell what it would be."""
    params = module.params
    wish = slots.Wish(
        slot=params["slot"] or "",
        state=params["state"] or "",
        tries=params["tries"],
        next=params["next"] or "",
        force=params["force"],
        initialize=params["initialize"],
        event=params["event"] or "",
        reason=params["reason"],
        run_id=params["run_id"],
    )
    mount = Path(params["mount"])
    before, after = slots.mark(CommandRunner(), wish, mount, dry=module.check_mode)
    if not module.check_mode:
        with slot_state.locked(mount):
            fact.refresh(Path("/"), mount)
    shown = slots.describe(after)
    return {
        "changed": before != after,
        **shown,
        "diff": {"before": slots.describe(before) if before else {}, "after": shown},
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "slot": {"type": "str", "choices": ["a", "b"]},
            "state": {"type": "str", "choices": ["good", "trying", "bad", "empty"]},
            "tries": {"type": "int", "default": 3},
            "next": {"type": "str", "choices": ["a", "b", "r", "none"]},
            "force": {"type": "bool", "default": False},
            "initialize": {"type": "bool", "default": False},
            "event": {"type": "str", "choices": list(records.EVENTS)},
            "reason": {"type": "str", "default": ""},
            "run_id": {"type": "str", "default": ""},
            "mount": {"type": "path", "default": str(slots.DISPATCH)},
        },
        required_together=[("slot", "state")],
        required_by={"event": ("slot",)},
        required_one_of=[("state", "next")],
        supports_check_mode=True,
    )
    if not 1 <= module.params["tries"] <= 3:
        module.fail_json(msg=f"tries must be 1, 2 or 3, not {module.params['tries']}")
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
