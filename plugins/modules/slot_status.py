#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: slot_status
short_description: Tell what a host runs, what its slots hold, and what happened to them
version_added: 0.1.0
description:
  - Logs in, reads the markers of this collection, and asks a dual system or a recovery system for its slots, with
    nothing but a POSIX shell on the host. The text of C(dualroot-slot) travels along, so that hosts which carry
    another release of it, or none, are told of in the same words.
  - Changes nothing, and does not fail for the state of a host. One that does not answer is told of as such.
  - Uses become where it is set, and goes on without where it cannot be had.
options:
  timeout:
    description:
      - Seconds in which a silent host is asked again.
    type: int
    default: 20
  probe_timeout:
    description:
      - Seconds after which a single look is ended, even if ssh itself hangs.
    type: int
    default: 40
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: dualroot.migrate.status_table
  - module: dualroot.migrate.slot_info
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Ask the host
  dualroot.migrate.slot_status:
  become: true
  register: host_asked

- name: Say which version slot b holds
  ansible.builtin.debug:
    msg: "{{ host_asked.status.slots.b.version }}"
  when: host_asked.status.slots is defined
"""

RETURN = r"""
status:
  description:
    - What is known of the host. Beside the two fields below it has what C(dualroot-slot status --json) prints, and in
      stage two its phase.
  returned: always
  type: dict
  contains:
    system:
      description: V(new_system), V(old_system), V(stage_two), V(recovery) or V(unreachable).
      type: str
    problem:
      description: Why there is no more to say; empty where there is none.
      type: str
    running:
      description: The slot that runs.
      type: str
    slots:
      description: State, kind, name, version, layout, run, time of installation and digests of each slot.
      type: dict
    order:
      description: The preferred order of the slots.
      type: list
      elements: str
    tries:
      description: How many boots of a slot that is V(trying) are left.
      type: int
    boots_next:
      description: What the next start boots, a slot or V(r).
      type: str
    fell_back:
      description: Whether a slot is being tried but another system runs.
      type: bool
    outcomes:
      description: What happened to the slots, the oldest first, with time, slot, run, event and reason.
      type: list
      elements: dict
    tries_ended:
      description: What tries that ended by themselves said, with run, slot and reason.
      type: list
      elements: dict
    health:
      description: What the health checks of the running slot said; V(null) where there are none.
      type: dict
    file_systems:
      description: Device, mount point, size and free bytes of each file system on a disk.
      type: list
      elements: dict
    phase:
      description: Phase of a running stage two.
      type: str
"""
