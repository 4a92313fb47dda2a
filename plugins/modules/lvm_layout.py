#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes volume groups, volumes and file systems as a layout wants them; wiring only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lvm_layout
short_description: Make volume groups, logical volumes and file systems
version_added: 0.1.0
description:
  - Makes the volume groups, logical volumes and file systems of a layout on its disk, or those that are named
    directly.
  - Only creates and grows. Something foreign on a device, or a volume that is larger than wanted, is refused
    before anything is changed, unless O(replace=true).
  - Other volume groups and other disks are never touched.
author:
  - dualroot.migrate authors (@dualroot)
requirements:
  - C(lvm), C(blkid), C(wipefs) and the programs of the file systems on the host
options:
  disk:
    description:
      - The disk of O(layout).
    type: path
    aliases: [device]
  layout:
    description:
      - A layout document, or the resolved layout of a plan, which is taken as it is.
    type: dict
  upto:
    description:
      - Up to which moment of the layout its parts are made.
    type: str
    choices: [convert, commit]
    default: convert
  seed:
    description:
      - Text from which the UUIDs of a layout that is not resolved yet are computed.
      - The name in O(disk) by default.
    type: str
  volume_groups:
    description:
      - Volume groups to make without a layout.
      - The list is checked by the module itself, so that every error is named at once with its path.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the volume group.
        type: str
        required: true
      devices:
        description: Nodes of the partitions or disks that it lies on.
        type: list
        elements: str
        required: true
      extent:
        description: Size of an extent, a power of two of at least 1 MiB.
        type: str
      volumes:
        description: Its logical volumes.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the volume.
            type: str
            required: true
          size:
            description:
              - A size like V(512 MiB), a number of bytes, a share of the group like V(40%), or V(rest).
            type: raw
            required: true
          file_system:
            description: What to make on it, a mapping of C(kind), C(label) and C(uuid).
            type: dict
  file_systems:
    description:
      - File systems to make on devices without a layout.
      - Each is a mapping of C(device), C(kind) (V(ext4), V(xfs), V(vfat) or V(swap)), C(label) and C(uuid).
    type: list
    elements: dict
  replace:
    description:
      - Overwrite what is foreign on the named devices, and make volumes that are too large anew.
      - Destroys data.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode and returns the steps without doing them.
    support: full
  diff_mode:
    description: Returns the steps as a difference.
    support: full
"""

EXAMPLES = r"""
- name: Make what the layout leaves for the commit
  dualroot.migrate.lvm_layout:
    disk: /dev/vda
    layout: "{{ plan.layout }}"
    upto: commit

- name: A group for data, without a layout
  dualroot.migrate.lvm_layout:
    volume_groups:
      - name: DATA
        devices: [/dev/vdb1]
        volumes:
          - name: mail
            size: 40%
            file_system: {kind: xfs, label: mail}
          - name: web
            size: rest
            file_system: {kind: ext4, label: web}
"""

RETURN = r"""
steps:
  description: What was done, in order; in check mode what would be done.
  returned: success
  type: list
  elements: dict
  contains:
    text:
      description: The step in words.
      type: str
      sample: create volume VB/root
    commands:
      description: Its commands.
      type: list
      elements: list
      sample: [["lvm", "vgcreate", "--yes", "--physicalextentsize", "4194304b", "VB", "/dev/vda4"]]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dualroot.migrate.plugins.module_utils.ansible_module import run_module
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import sysfs
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.given import resolved_from
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes import direct, steps
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes.apply import run_steps


def wanted_target(params, check_mode):
    """Return what the task asks for, from a layout or directly."""
    if not params["layout"]:
        return direct.read(params["volume_groups"] or [], params["file_systems"] or [], missing_ok=check_mode)
    name = sysfs.require_disk(params["disk"])
    geometry = DiskGeometry(sysfs.size_bytes(name), sysfs.sector_bytes(name))
    resolved = resolved_from(params["layout"], geometry, params["seed"] or params["disk"])
    return steps.target(resolved, sysfs.node_of(name), params["upto"])


def work(module):
    """Plan the steps and, outside check mode, do them."""
    runner, params = CommandRunner(), module.params
    wanted = wanted_target(params, module.check_mode)
    planned = steps.plan(runner, wanted, replace=params["replace"], missing_ok=module.check_mode)
    if not module.check_mode:
        run_steps(runner, planned)
    text = "".join(f"{step.text}\n" for step in planned)
    return {
        "changed": bool(planned),
        "steps": direct.steps_document(planned),
        "diff": {"before": "", "after": text},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "disk": {"type": "path", "aliases": ["device"]},
            "layout": {"type": "dict"},
            "upto": {"type": "str", "choices": ["convert", "commit"], "default": "convert"},
            "seed": {"type": "str"},
            "volume_groups": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "name": {"type": "str", "required": True},
                    "devices": {"type": "list", "elements": "str", "required": True},
                    "extent": {"type": "str"},
                    "volumes": {
                        "type": "list",
                        "elements": "dict",
                        "options": {
                            "name": {"type": "str", "required": True},
                            "size": {"type": "raw", "required": True},
                            "file_system": {"type": "dict"},
                        },
                    },
                },
            },
            "file_systems": {"type": "list", "elements": "dict"},
            "replace": {"type": "bool", "default": False},
        },
        required_one_of=[("layout", "volume_groups", "file_systems")],
        required_by={"layout": ("disk",)},
        mutually_exclusive=[("layout", "volume_groups"), ("layout", "file_systems")],
        supports_check_mode=True,
    )
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
