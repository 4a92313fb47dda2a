#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove that a new system is what was planned: wiring of module_utils/verify."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_verify
short_description: Prove that a new system is what was planned
version_added: 0.1.0
description:
  - Compares the running system with the plan and with the capture, runs the operator's health commands, and reads the
    record that stage two left.
  - The layout counts as proven when the difference between plan and disk, mounts included, is empty.
  - Everything that is wrong is reported at once; only reads.
options:
  plan:
    description:
      - The frozen plan of the host.
    type: dict
    required: true
  upto:
    description:
      - The moment that the layout has reached.
    type: str
    choices: [convert, commit]
    default: convert
  configuration:
    description:
      - Also compare the configuration with the capture. Wrong for a slot that was changed since it was installed.
    type: bool
    default: true
  health_commands:
    description:
      - Shell commands that must succeed.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Only reads; health commands are the operator's own and are not run in check mode.
    support: full
  diff_mode:
    description: Has no diff; the differences are in the result.
    support: none
requirements:
  - Python >= 3.9 on the managed host
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Compare the new system with the plan
  dualroot.migrate.host_verify:
    plan: "{{ dualroot_plan }}"
    health_commands:
      - systemctl is-active myservice
  become: true
  register: dualroot_verified
"""

RETURN = r"""
disk:
  description: The node of the converted disk.
  returned: always
  type: str
  sample: /dev/vda
result:
  description: The record that stage two left on the new system.
  returned: success
  type: dict
journal:
  description: Stage two's journal as it lies on the new system.
  returned: success
  type: list
  elements: dict
log:
  description: What stage two said, as it lies on the new system; its end where it is long.
  returned: success
  type: str
capture:
  description: What was carried over, without its secrets, as it lies on the new system.
  returned: success
  type: dict
faults:
  description: Records of everything that is not as planned; empty on success.
  returned: always
  type: list
  elements: dict
layout_differences:
  description: What of the layout is not as planned.
  returned: always
  type: list
  elements: str
configuration_differences:
  description: What did not come over.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import fail_with, run_module
from ..module_utils.plan import document
from ..module_utils.runner import CommandRunner
from ..module_utils.verify.look import look
from ..module_utils.verify.seen import judge


def work(module):
    """Look at the system and judge it; return the module's result."""
    plan = document.load(module.params["plan"])
    commands = [] if module.check_mode else module.params["health_commands"]
    seen = look(CommandRunner(), plan, module.params["upto"], commands, configuration=module.params["configuration"])
    faults = judge(plan, seen)
    result = {
        "changed": False,
        "disk": seen.disk,
        "faults": [fault.record() for fault in faults],
        "layout_differences": list(seen.layout_differences),
        "configuration_differences": list(seen.configuration_differences),
    }
    if faults:
        fail_with(module, faults[0], **result)
    return {**result, "result": seen.record, **seen.extra}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "plan": {"type": "dict", "required": True},
            "upto": {"type": "str", "choices": ["convert", "commit"], "default": "convert"},
            "configuration": {"type": "bool", "default": True},
            "health_commands": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )

    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
