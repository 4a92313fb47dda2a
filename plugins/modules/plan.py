#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name; the work is in plugins/action/plan.py."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan
short_description: Judge a host and freeze its plan
version_added: 0.1.0
description:
  - Compares what is known of a host with the bundle and the layout, and says everything that stands in the
    way of a migration, with a remedy for each.
  - Where nothing refuses, the layout is resolved to sectors and extents of the host's disk and frozen into a
    plan with a digest. Nothing after it computes a size.
  - Runs on the controller only and never connects to the host.
author:
  - dualroot.migrate authors (@dualroot)
options:
  facts:
    description: What M(dualroot.migrate.host_probe) returned as C(facts).
    type: dict
    required: true
  manifest:
    description: The manifest of the bundle.
    type: dict
    required: true
  layout:
    description: The layout document, version 1.
    type: dict
    required: true
  options:
    description:
      - What the operator wants of this run. C(run_id) and C(manifest_sha256) name the run and the bundle.
      - >-
        Further keys: C(mode) (V(convert) or V(rehearse)), C(slot), C(attended), C(go_timeout), C(trial_limit),
        C(lifetime) (seconds that the plan is good for), C(lifeboat), C(keep_old), C(boot_method), C(snapshot),
        C(snapshot_command), C(disk), C(discard), C(login_user), C(kernel_arguments), C(reached_at), C(signed_by),
        C(health_commands), C(give_up_unhealthy), C(rehearsal) (the result of an earlier rehearsal of this
        host), C(host) and C(now).
      - Empty values mean that the operator said nothing.
    type: dict
    required: true
  capture:
    description: The redacted capture of the host's configuration.
    type: dict
  findings:
    description: >-
      What reading the configuration has found already, each with C(id), C(severity), C(what), C(why), C(how).
    type: list
    elements: dict
    default: []
  modaliases:
    description:
      - File on the controller with the device patterns that the convert kernel answers to, a JSON list.
      - Without it drivers are not checked.
    type: path
  bad_addresses:
    description: >-
      Captured addresses that are no usable interface addresses, each with C(interface) and C(address).
    type: list
    elements: dict
    default: []
  reports:
    description:
      - Folder for the reports of all runs. The newest rehearsal of this host with this bundle, there or among the facts
        of the host, calibrates the prediction unless C(rehearsal) is given.
    type: path
attributes:
  check_mode:
    description: Changes nothing, so it does the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
seealso:
  - module: dualroot.migrate.host_probe
  - module: dualroot.migrate.host_capture
"""

EXAMPLES = r"""
- name: Judge the host
  dualroot.migrate.plan:
    facts: "{{ probed.facts }}"
    manifest: "{{ bundle.manifest }}"
    layout: "{{ bundle.layout }}"
    options:
      run_id: 20261120T191500Z-1a2b3c
      manifest_sha256: "{{ bundle.manifest_sha256 }}"
      login_user: admin
      lifeboat: required
  register: judged
"""

RETURN = r"""
verdict:
  description: V(refuse) where any finding refuses, otherwise V(proceed).
  returned: always
  type: str
  sample: proceed
findings:
  description: Everything that was found, the worst first.
  returned: always
  type: list
  elements: dict
  sample:
    - id: preflight.no_lifeboat
      severity: warn
      phase: preflight
      what: There will be no lifeboat
      why: A power cut after the point of no return leaves the host without a system.
      how: Take a snapshot.
plan:
  description: The frozen plan with its C(digest); V(null) where the verdict is V(refuse).
  returned: always
  type: dict
picture:
  description: The disk C(before) and C(after) as areas, and both as C(text).
  returned: always
  type: dict
predicted:
  description: Peak memory of stage two and downtime by phase.
  returned: always
  type: dict
  sample:
    peak_ram_bytes: 486539264
    needed_ram_bytes: 553648128
    downtime_seconds: 118
    phases: {enter: 30, restore: 10}
    calibrated: []
refused:
  description: The record of the fault V(preflight.refused), which sums up what refuses; V(null) otherwise.
  returned: always
  type: dict
strategy:
  description: The strategy of the play.
  returned: always
  type: str
  sample: linear
lines:
  description: Picture, prediction and findings as lines for a person.
  returned: always
  type: list
  elements: str
"""
