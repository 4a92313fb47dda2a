#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fault
short_description: Fail a host with a fault of the catalogue
version_added: 0.1.0
description:
  - Ends the host with the same record that modules return, so that every failure says what happened, why, and how
    to go on.
options:
  id:
    description:
      - Id in the catalogue, for example V(migrate.lost_from_batch).
    type: str
  fields:
    description:
      - What fills in the texts of the fault.
    type: dict
    default: {}
  record:
    description:
      - A whole record that another task returned.
    type: dict
attributes:
  check_mode:
    description: Fails as well.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  action:
    description: Runs on the controller.
    support: full
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Stop the rollout
  dualroot.migrate.fault:
    id: migrate.lost_from_batch
    fields:
      hosts: gateway-7
"""

RETURN = r"""
fault:
  description: Record with id, phase, what, why and how.
  returned: always
  type: dict
"""
