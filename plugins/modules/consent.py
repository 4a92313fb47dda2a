#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: consent
short_description: Compare the operator's consent with the hosts that a run would convert
version_added: 0.1.0
description:
  - The operator consents by naming the number of hosts that they expect to be converted.
  - Nothing or an empty text is no consent and no failure; a wrong number is a fault.
options:
  consent:
    description:
      - What the operator said; surveys deliver text and empty text.
    type: raw
    default: ''
  hosts:
    description:
      - The hosts that the run would convert.
    type: list
    elements: str
    required: true
  strategy:
    description:
      - The strategy of the play. Only C(linear) is accepted, because others do not stop a rollout.
    type: str
    default: linear
attributes:
  check_mode:
    description: Only compares.
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
- name: Compare the consent
  dualroot.migrate.consent:
    consent: "{{ dualroot_consent | default('') }}"
    hosts: "{{ ansible_play_hosts }}"
  run_once: true
  register: dualroot_said
"""

RETURN = r"""
given:
  description: Whether the operator consents.
  returned: always
  type: bool
count:
  description: The number of hosts that the run would convert.
  returned: always
  type: int
"""
