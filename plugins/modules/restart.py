#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: restart
short_description: Restart a dual-system host and wait for the slot that comes up
version_added: 0.1.0
description:
  - Orders a detached restart and follows the host until the wanted slot lets you in, or until the host came back in
    another system because the tries of that slot were used up.
  - It chooses nothing. What the dispatcher boots is the slot state, which M(dualroot.migrate.slot_mark) writes.
  - Tells the systems apart by the C(dualroot.*) arguments of their kernels, never by the boot id alone, and reads why a
    slot was given up from the outcomes on the dispatch file system.
  - The lock of the run, which lies in the system that goes down, is given back with its last breath.
  - Ends in I(failed), never in I(unreachable), because ansible-core does not stop a rollout on unreachable hosts.
    A changed SSH host key ends the wait at once.
options:
  slot:
    description:
      - The slot that is to come up. A host that runs it already is left alone.
    type: str
    choices: [a, b]
    required: true
  slot_run_id:
    description:
      - The run that installed that slot. Another one in the same slot is a fault; empty takes any.
    type: str
    default: ''
  kind:
    description:
      - What the slot holds, V(bundle), or V(old) for the old system that a migration kept, which carries no mark.
    type: str
    choices: [bundle, old]
    default: bundle
  run_id:
    description:
      - The run that leads, whose lock the host has.
    type: str
    required: true
  timeout:
    description:
      - Seconds to wait in all; it must cover every try of the slot.
    type: int
    default: 3600
  probe_timeout:
    description:
      - Seconds after which a single look at the host is ended, even if ssh itself hangs.
    type: int
    default: 40
attributes:
  check_mode:
    description: Reports a change and does nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: dualroot.migrate.slot_mark
  - module: dualroot.migrate.convert
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Try slot b
  dualroot.migrate.slot_mark:
    slot: b
    state: trying
  become: true

- name: Restart into it
  dualroot.migrate.restart:
    slot: b
    run_id: "{{ dualroot_run_id }}"
  become: true
  register: dualroot_restarted
"""

RETURN = r"""
host:
  description: The host's name in the inventory.
  returned: always
  type: str
outcome:
  description: V(started), V(fell_back) (the other slot runs, the wanted one was given up), or V(failed).
  returned: always
  type: str
fault:
  description: Record with id, phase, what, why and how; null where all is well.
  returned: always
  type: dict
slot:
  description: The slot that runs at the end of the wait; null where none does.
  returned: always
  type: str
reason:
  description: Why the slot was given up, as the host wrote it down; empty where it did not or was not.
  returned: always
  type: str
started:
  description: When the wait began, in seconds since the epoch.
  returned: always
  type: float
seconds:
  description: How long it took in all.
  returned: always
  type: float
downtime_seconds:
  description: From the order to restart to the first login on the system that came out; null where none did.
  returned: always
  type: float
boot_ids:
  description: Boot ids of the systems, with the keys old, stage_two (always null here) and new.
  returned: always
  type: dict
"""
