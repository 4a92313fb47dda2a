#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the record of a converted host: wiring of module_utils/verify/record.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_commit
short_description: Write the record of a converted host
version_added: 0.1.0
description:
  - Completes C(result.json) of the run on the new system with what the controller measured, and says in
    C(/etc/ansible/facts.d/dualroot.fact) that the conversion is committed.
  - A host whose record is complete is left alone.
options:
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
    description: Shows the fact file before and after.
    support: full
requirements:
  - Python >= 3.9 on the managed host
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Write the record of the host
  dualroot.migrate.host_commit:
    plan: "{{ dualroot_plan }}"
    conversion: "{{ dualroot_conversion }}"
  become: true
"""

RETURN = r"""
result:
  description: The whole record of the run, as it lies on the host.
  returned: success
  type: dict
fact:
  description: What the host now says of itself.
  returned: success
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.plan import document
from ..module_utils.verify import record


def work(module):
    """Write what differs; return the module's result."""
    plan = document.load(module.params["plan"])
    wanted = record.wanted(plan, module.params["conversion"], Path("/"))
    changed, before = record.write(wanted, Path("/"), pretend=module.check_mode)
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
            "plan": {"type": "dict", "required": True},
            "conversion": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
