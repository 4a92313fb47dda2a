#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose the slot to go back to and put it on trial: wiring of module_utils/boot/rollback.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: slot_rollback
short_description: Put the other slot of a dual-system host on trial
version_added: 0.1.0
description:
  - Chooses the slot to go back to and makes it the one that the next start boots, with three tries. The system that
    runs now comes back where the tries are used up.
  - A host that was rolled back already is left alone, so a second run changes nothing.
  - Restarts nothing; M(dualroot.migrate.restart) does.
options:
  target:
    description:
      - The slot that is to run. By default the one that does not run.
    type: str
    choices: ['', a, b]
    default: ''
  force:
    description:
      - Go even to a slot that is V(bad) or V(trying). An empty one is always refused.
    type: bool
    default: false
  mount:
    description:
      - Where the dispatch file system is mounted.
    type: path
    default: /boot/dispatch
attributes:
  check_mode:
    description: Tells what would be done.
    support: full
  diff_mode:
    description: Shows the slot state before and after.
    support: full
  platform:
    description: Linux hosts with two slots.
    support: full
    platforms: linux
seealso:
  - module: dualroot.migrate.slot_mark
  - module: dualroot.migrate.restart
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Put the other slot on trial
  dualroot.migrate.slot_rollback:
  become: true
  register: chosen

- name: Restart into it
  dualroot.migrate.restart:
    slot: "{{ chosen.target }}"
    slot_run_id: "{{ chosen.target_run_id }}"
    run_id: "{{ dualroot_run_id }}"
  become: true
  when: chosen.needed
"""

RETURN = r"""
needed:
  description: Whether the host has to restart.
  returned: success
  type: bool
target:
  description: The slot that is to run.
  returned: success
  type: str
  sample: a
target_run_id:
  description: The run that installed that slot; empty where nothing is known of it.
  returned: success
  type: str
target_kind:
  description: What that slot holds, V(bundle), or V(old) for the old system that a migration kept.
  returned: success
  type: str
target_name:
  description: Name and version of what that slot holds; empty where nothing is known of it.
  returned: success
  type: str
running:
  description: The slot that runs.
  returned: success
  type: str
event:
  description: What the move is told as once it is done, V(rolled_back), or V(good) where it goes to the newer system.
  returned: success
  type: str
why:
  description: Why that is so, in words.
  returned: success
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.boot import fact, records, rollback, slots
from ..module_utils.boot import slot_state as states
from ..module_utils.runner import CommandRunner


def work(module):
    """Choose, and write the state unless it is right already."""
    mount = Path(module.params["mount"])
    slots.check_mounted(mount)
    with states.locked(mount):
        state = states.read(mount).state
        found = records.read_slots(mount)
        host = rollback.Host(state, slots.running()["slot"], found, records.read_outcomes(mount))
        chosen = rollback.choose(host, module.params["target"], module.params["force"])
        after = rollback.change(state, host.running, chosen.target) if chosen.needed else state
        if after != state and not module.check_mode:
            with slots.writable(CommandRunner(), mount):
                states.write(mount, after)
            fact.refresh(Path("/"), mount)
    record = found.get(chosen.target)
    return {
        "changed": after != state,
        "needed": chosen.needed,
        "target": chosen.target,
        "target_run_id": record.run_id if record and record.kind == "bundle" else "",
        "target_kind": record.kind if record else "bundle",
        "target_name": f"{record.name} {record.version}" if record else "",
        "running": host.running,
        "event": rollback.event(host, chosen.target),
        "why": chosen.why,
        "diff": {"before": slots.describe(state), "after": slots.describe(after)},
    }


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "target": {"type": "str", "choices": ["", "a", "b"], "default": ""},
            "force": {"type": "bool", "default": False},
            "mount": {"type": "path", "default": str(slots.DISPATCH)},
        },
        supports_check_mode=True,
    )
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
