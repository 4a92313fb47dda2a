#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin ``revive_plan``; nothing here runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: revive_plan
short_description: Judge a converted host for a restore of its old system, and make the plan
version_added: 0.1.0
description:
  - Reads the archive and the evidence that a migration with C(dualroot_snapshot=archive) left in the report folder, and
    tells whether the old system can be brought back on this host. All findings come at once.
  - Where nothing refuses, it returns the frozen plan for M(dualroot.migrate.revive_stage).
  - Runs on the controller and only reads.
options:
  reports:
    description:
      - The report folder.
    type: path
    required: true
  of_run:
    description:
      - The run whose archive is taken; by default the newest one that has an archive of this host.
    type: str
    default: ''
  facts:
    description:
      - The facts of the host, as M(dualroot.migrate.host_probe) read them in the running slot.
    type: dict
    required: true
  capture:
    description:
      - The redacted capture of the running slot, as M(dualroot.migrate.host_capture) returned it.
    type: dict
    required: true
  running:
    description:
      - What M(dualroot.migrate.where) says of the host, with C(slot), C(slot_state) and C(run_id).
    type: dict
    required: true
  current:
    description:
      - The plan of the run that made the running slot.
    type: dict
    required: true
  manifest:
    description:
      - The bundle's manifest, as M(dualroot.migrate.bundle_check) returned it.
    type: dict
    required: true
  options:
    description:
      - C(run_id) is required. C(attended), C(go_timeout), C(lifetime), C(lifeboat), C(kernel_arguments), C(login_user),
        C(manifest_sha256) and C(signed_by) as for a migration.
    type: dict
    required: true
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
seealso:
  - module: dualroot.migrate.revive_stage
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Judge the host
  dualroot.migrate.revive_plan:
    reports: /srv/dualroot-report
    facts: "{{ probed.facts }}"
    capture: "{{ captured.capture }}"
    running: "{{ where }}"
    current: "{{ where.kept.plan }}"
    manifest: "{{ checked.manifest }}"
    options:
      run_id: 20261120T191500Z-1a2b3c
      lifeboat: none
      manifest_sha256: "{{ checked.manifest_sha256 }}"
      signed_by: "{{ checked.fingerprint }}"
      login_user: admin
  register: judged
"""

RETURN = r"""
verdict:
  description: V(refuse) where any finding refuses, otherwise V(proceed).
  returned: success
  type: str
  sample: proceed
findings:
  description: Everything that was found, the worst first.
  returned: success
  type: list
  elements: dict
refused:
  description: The record of the fault V(preflight.refused), which sums up what refuses; V(null) otherwise.
  returned: success
  type: dict
lines:
  description: Archive, old disk and findings as lines for a person.
  returned: success
  type: list
  elements: str
plan:
  description: The frozen plan with its C(digest); V(null) unless the verdict is V(proceed).
  returned: success
  type: dict
archive:
  description: The archive of the old root, with C(path), C(sha256) and C(size).
  returned: success
  type: dict
evidence:
  description: The evidence beside it, likewise.
  returned: success
  type: dict
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""
