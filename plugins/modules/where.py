#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: where
short_description: Tell which system a host runs
version_added: 0.1.0
description:
  - Logs in once and reads the markers of this collection, with nothing but a POSIX shell on the host.
  - Ends in I(failed), never in I(unreachable), where the host does not answer.
options:
  timeout:
    description:
      - Seconds in which a silent host is asked again.
    type: int
    default: 60
  probe_timeout:
    description:
      - Seconds after which a single look is ended, even if ssh itself hangs.
    type: int
    default: 40
  fetch:
    description:
      - Also read what the host keeps of the run (plan, journal, stage two's log, result) from wherever the system
        that runs has it. Needs become in an old or new system.
    type: bool
    default: false
  left_of_restore:
    description:
      - Also tell what a controller that died has left of a restore. Needs become.
    type: bool
    default: false
  run_id:
    description:
      - The run that O(fetch) asks for; by default the one that the host is in.
    type: str
    default: ''
  directory:
    description:
      - Folder for the reports of all runs. With O(fetch), log and journal are kept there, below run and host, where
        O(run_id) is given, and where stage two or the recovery system runs.
    type: path
attributes:
  check_mode:
    description: Only reads; with O(directory) nothing is written.
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
- name: See which system the host runs
  dualroot.migrate.where:
  register: dualroot_where
"""

RETURN = r"""
kept:
  description:
    - What the host keeps of the run. V(null) without O(fetch) and where nothing could be read; a plan is left out
      where its digest, its run, or the digest that stage two works on say otherwise.
  returned: when the host answers
  type: dict
  contains:
    plan:
      description: The frozen plan.
      type: dict
    capture:
      description: The capture without its secrets.
      type: dict
    result:
      description: What stage two recorded.
      type: dict
    journal:
      description: Stage two's journal.
      type: list
      elements: dict
system:
  description: V(old_system), V(stage_two), V(new_system), V(recovery), or V(dark) where the host did not answer.
  returned: always
  type: str
run_id:
  description: The run that the system belongs to.
  returned: when the host answers
  type: str
slot:
  description: The slot that a new system runs in.
  returned: when the host answers
  type: str
slot_state:
  description: State of that slot where it can be read, V(good) or V(trying).
  returned: when the host answers
  type: str
unfinished:
  description:
    - Run of a restore that has brought this old system back, and that no controller has finished; empty for none.
  returned: in an old or new system, with O(left_of_restore)
  type: str
restore_staged:
  description: Whether a restore is staged on the slot that runs.
  returned: in an old or new system, with O(left_of_restore)
  type: bool
boot_id:
  description: Boot id of the running system.
  returned: when the host answers
  type: str
fact:
  description: The converted system's own record, C(/etc/ansible/facts.d/dualroot.fact).
  returned: when the host answers
  type: dict
phase:
  description: Phase of a running stage two.
  returned: in stage two
  type: str
plan_digest:
  description: Digest of the plan that a running stage two works on.
  returned: in stage two
  type: str
"""
