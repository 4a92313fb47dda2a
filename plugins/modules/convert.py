#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: convert
short_description: Reboot a staged host into stage two and wait for the new system
version_added: 0.1.0
description:
  - Orders a detached reboot, follows the host into stage two, gives the go for the plan that the operator saw,
    shows progress, fetches the journal before stage two ends, and waits for a login on the new system.
  - Tells the systems apart by markers (kernel arguments, C(/run/dualroot/status.json), the fact file of a converted
    system) and never by the boot id alone.
  - Attaches to a stage two of the same run that is running already, and has nothing to do on a host that the run
    has converted.
  - Ends in I(failed), never in I(unreachable), because ansible-core does not stop a rollout on unreachable hosts.
    A changed SSH host key ends the wait at once.
options:
  plan:
    description:
      - The frozen plan of this host.
    type: dict
    required: true
  timeout:
    description:
      - Seconds to wait in all.
    type: int
    default: 3600
  probe_timeout:
    description:
      - Seconds after which a single look at the host is ended, even if ssh itself hangs.
    type: int
    default: 40
  directory:
    description:
      - Folder for the reports of all runs. Stage two's log and journal are kept there, below run and host, as soon as
        they were fetched.
    type: path
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
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Convert the host
  dualroot.migrate.convert:
    plan: "{{ dualroot_plan }}"
    timeout: "{{ dualroot_stage_two_timeout }}"
  register: dualroot_conversion
"""

RETURN = r"""
run_id:
  description: The run that converted the host.
  returned: always
  type: str
  sample: 20260101T120000Z-3f9a1c
host:
  description: The host's name in the inventory.
  returned: always
  type: str
outcome:
  description: V(converted), V(returned) (the old system runs, untouched), or V(failed).
  returned: always
  type: str
fault:
  description: Record with id, phase, what, why and how; null where all is well.
  returned: always
  type: dict
slot:
  description: The slot that the new system runs in; null unless converted.
  returned: always
  type: str
phases:
  description: Stage-two phases with name, started (seconds since the epoch) and seconds.
  returned: always
  type: list
  elements: dict
downtime_seconds:
  description: From the order to reboot to the first login on the system that came out; null where none did.
  returned: always
  type: float
peak_ram_bytes:
  description: Highest memory use that stage two reported.
  returned: always
  type: int
payload_bytes:
  description: Size of the packed payload.
  returned: always
  type: int
resumed:
  description: How often stage two was started again from the lifeboat after a cut.
  returned: always
  type: int
boot_ids:
  description: Boot ids of the three systems as far as they were seen.
  returned: always
  type: dict
  contains:
    old:
      description: The old system before the reboot.
      type: str
    stage_two:
      description: Stage two.
      type: str
    new:
      description: The new system.
      type: str
journal:
  description: Stage two's journal, one entry per step.
  returned: always
  type: list
  elements: dict
started:
  description: When the work of this task began, in seconds since the epoch.
  returned: always
  type: float
seconds:
  description: How long this task took.
  returned: always
  type: float
last_phase:
  description: The phase in which stage two was seen last.
  returned: always
  type: str
"""
