#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: status_table
short_description: Show what is known of hosts and their slots
version_added: 0.1.0
description:
  - Shows a table, or JSON, of what M(dualroot.migrate.slot_status) told of several hosts, and writes JSON to a file.
  - Never connects to a host.
options:
  hosts:
    description:
      - Names of hosts with what RV(dualroot.migrate.slot_status#module:status) said of each.
    type: dict
    required: true
  format:
    description:
      - What is shown.
    type: str
    choices: [table, json]
    default: table
  file:
    description:
      - File on the controller that gets the JSON, with the mode 0600.
    type: path
attributes:
  check_mode:
    description: Shows the same and writes no file.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: dualroot.migrate.slot_status
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Show one host
  dualroot.migrate.status_table:
    hosts: "{{ {inventory_hostname: host_asked.status} }}"
"""

RETURN = r"""
table:
  description: The lines of the table.
  returned: success
  type: list
  elements: str
hosts:
  description: What was shown, as JSON has it.
  returned: success
  type: dict
"""
