#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finish a restore in the old system: wiring of module_utils/revive/finish.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: revive_finish
short_description: Let the root of a restored host grow to what it was
version_added: 0.1.0
description:
  - A restore with a lifeboat makes the old root so small at first that it ends before the lifeboat. In the old system,
    what the lifeboat holds of the host (password hashes, keys) is overwritten, and the root grows over its place.
  - Without a lifeboat, and a second time, it changes nothing.
options:
  plan:
    description:
      - The frozen plan of the restore. Without it, the one that stage two has left on the host, as long as that
        restore is not finished.
    type: dict
attributes:
  check_mode:
    description: Tells what would grow.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
requirements:
  - Python >= 3.9 on the managed host
  - resize2fs on the managed host
seealso:
  - module: dualroot.migrate.revive_stage
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Let the root grow to what it was
  dualroot.migrate.revive_finish:
    plan: "{{ dualroot_plan }}"
  become: true

- name: Finish what a controller that died has left
  dualroot.migrate.revive_finish:
  become: true
"""

RETURN = r"""
device:
  description: The partition that has grown, or would in check mode; empty where there was nothing to do.
  returned: success
  type: str
  sample: /dev/vda1
plan:
  description: The plan of the restore that was finished; null where none was left.
  returned: success
  type: dict
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.plan import document
from ..module_utils.revive import finish
from ..module_utils.runner import CommandRunner


def work(module):
    """Return the module's result."""
    found = module.params["plan"] or finish.left_over()
    if found is None:
        return {"changed": False, "device": "", "plan": None}
    plan = document.load(found)
    act = finish.pending if module.check_mode else finish.finish
    device = act(CommandRunner(), plan)
    return {"changed": bool(device), "device": device, "plan": plan}


def main():
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"plan": {"type": "dict"}},
        supports_check_mode=True,
    )
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
