#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lock
short_description: Take and release the lock of a host, one controller at a time
version_added: 0.1.0
description:
  - The lock is a file on the host, C(/var/lib/dualroot/lock), with owner, run, and the time at which it expires by
    the host's clock. Nothing but a POSIX shell is needed on the host.
  - A lock of another run fails with a fault that names owner, run and expiry. It is taken over where it has
    expired, and where its owner is a process of this very controller that is gone, so that a killed playbook does
    not lock itself out.
  - Taking it again renews it.
options:
  state:
    description:
      - V(released) removes the lock of this run and leaves any other alone.
    type: str
    choices: [taken, released]
    default: taken
  run_id:
    description:
      - The run that works on the host.
    type: str
    required: true
  lifetime:
    description:
      - Seconds until the lock expires unless it is renewed.
    type: int
    default: 14400
  break_lock:
    description:
      - Take the lock whoever holds it.
    type: bool
    default: false
attributes:
  check_mode:
    description: Tells whether the lock could be taken, and writes nothing.
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
- name: Take the host's lock
  dualroot.migrate.lock:
    run_id: "{{ dualroot_run_id }}"
    break_lock: "{{ dualroot_break_lock | default(false, true) | bool }}"
  become: true
  register: dualroot_lock
"""

RETURN = r"""
taken:
  description: Whether this run holds the lock now.
  returned: always
  type: bool
replaced:
  description: The lock that was there before, with C(owner), C(run_id), C(created) and C(expires).
  returned: when a lock was taken
  type: dict
why:
  description: Why it was replaced (V(renewed), V(expired), V(its process is gone), V(broken)); empty if none was.
  returned: when a lock was taken
  type: str
fault:
  description: Who holds the lock, as C(id), C(phase), C(what), C(why), C(how).
  returned: failure
  type: dict
"""
