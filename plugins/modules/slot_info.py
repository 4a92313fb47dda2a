#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell the state of the slots of a dual-system host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: slot_info
short_description: Tell the state of the slots of a dual-system host
version_added: 0.1.0
description:
  - Reads the slot state file and its copy on the dispatch partition, and the kernel arguments of the running
    system. Changes nothing.
options:
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
  platform:
    description: Linux hosts with two slots.
    support: full
    platforms: linux
seealso:
  - module: dualroot.migrate.slot_mark
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Read the slot state
  dualroot.migrate.slot_info:
  register: dualroot_slots

- name: Fail where the new slot did not come up
  ansible.builtin.assert:
    that: not dualroot_slots.fell_back
"""

RETURN = r"""
running:
  description: The slot that runs; empty in the recovery system and outside of slots.
  returned: success
  type: str
  sample: a
run_id:
  description: The run that installed the running system.
  returned: success
  type: str
  sample: 20260101T120000Z-3f9a1c
order:
  description: The preferred order of the slots.
  returned: success
  type: list
  elements: str
  sample: [a, b]
slots:
  description: The state of each slot, V(good), V(trying), V(bad) or V(empty).
  returned: success
  type: dict
  sample: {a: good, b: empty}
tries:
  description: How many boots of a slot that is V(trying) are left.
  returned: success
  type: int
  sample: 0
next:
  description: What is booted once at the next start, a slot or V(r) for the recovery system; empty for as usual.
  returned: success
  type: str
  sample: ''
boots_next:
  description: What the next start boots, a slot or V(r).
  returned: success
  type: str
  sample: a
fell_back:
  description: Whether a slot is being tried but another system runs.
  returned: success
  type: bool
  sample: false
generation:
  description: How often the state was written.
  returned: success
  type: int
  sample: 3
copies:
  description: Both copies of the state.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its file on the dispatch file system.
      type: str
    damage:
      description: What is wrong with it; empty for a good one.
      type: str
  sample:
    - name: state
      damage: ''
    - name: state.copy
      damage: ''
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.boot import slots


def main():
    module = AnsibleModule(
        argument_spec={"mount": {"type": "path", "default": str(slots.DISPATCH)}},
        supports_check_mode=True,
    )
    run_module(module, lambda: {"changed": False, **slots.information(Path(module.params["mount"]))})


if __name__ == "__main__":
    main()
