#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; the work is in plugins/action/report.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: report
short_description: Keep the evidence of a run on the controller
version_added: 0.1.0
description:
  - Writes what is known of a host into C(directory/run_id/host/) on the controller, as C(preflight.json),
    C(plan.json), C(capture-redacted.json), C(journal.json), C(result.json) and C(fault.json); what is not
    given stays as it is.
  - Files have the mode 0600, folders 0700.
  - With O(index) it also writes C(directory/run_id/index.html) from the folders of all hosts and shows the
    final table.
  - Runs on the controller only and never connects to the host, so it also works when the host is gone.
author:
  - dualroot.migrate authors (@dualroot)
options:
  directory:
    description: Folder for the reports of all runs. A relative path is taken from the current folder.
    type: path
    required: true
  run_id:
    description: Name of the run.
    type: str
    required: true
  host:
    description: Name of the host; its inventory name by default.
    type: str
  preflight:
    description: Verdict, findings, picture and prediction, as M(dualroot.migrate.plan) returned them.
    type: dict
  plan:
    description: The frozen plan.
    type: dict
  capture:
    description: The redacted capture. Never hand over the capture itself.
    type: dict
  journal:
    description: The lines of stage two's journal.
    type: list
    elements: dict
  result:
    description: >-
      What is known of the outcome. C(outcome) is V(converted), V(returned) or V(failed); missing fields are
      taken from the plan or become V(null).
    type: dict
  fault:
    description: The record of the fault that ended the run of this host, where O(result) has none.
    type: dict
  console:
    description: File on the controller with what the host showed on its console, kept as C(console.log).
    type: path
  log:
    description: What stage two said, kept as C(stage-two.log).
    type: str
  hosts:
    description:
      - What M(dualroot.migrate.plan) returned, by host, for the table of O(index) in check mode, in which no files are
        there to read it from.
    type: dict
    default: {}
  index:
    description: Write the page of the run, and show the table of all hosts.
    type: bool
    default: false
attributes:
  check_mode:
    description: Writes nothing in check mode.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
seealso:
  - module: dualroot.migrate.plan
"""

EXAMPLES = r"""
- name: Keep the evidence of this host
  dualroot.migrate.report:
    directory: dualroot-report
    run_id: "{{ dualroot_run_id }}"
    plan: "{{ dualroot_plan }}"
    result: "{{ converted }}"
    journal: "{{ converted.journal }}"

- name: Write the page and show the final table
  dualroot.migrate.report:
    directory: dualroot-report
    run_id: "{{ dualroot_run_id }}"
    index: true
  run_once: true
"""

RETURN = r"""
folder:
  description: The folder of this host's evidence.
  returned: always
  type: str
  sample: /home/admin/dualroot-report/20261120T191500Z-1a2b3c/gate1
result:
  description: The completed C(result.json), or V(null) where nothing is known yet.
  returned: always
  type: dict
  sample:
    outcome: converted
    downtime_seconds: 131.0
index:
  description: The page of the run.
  returned: when O(index) is true
  type: str
table:
  description: The final table as lines.
  returned: when O(index) is true
  type: list
  elements: str
"""
