#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the facts of a host; wiring only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_probe
short_description: Read what decides whether and how a host can be migrated
version_added: 0.1.0
description:
  - Reads disks, partition tables, file systems, firmware, memory, boot loader, network interfaces and the
    drivers that they need.
  - Changes nothing on the host. Nothing is judged here; the preflight role judges the facts.
  - Works on old systems; the only program needed is C(blkid).
author:
  - dualroot.migrate authors (@dualroot)
requirements:
  - Python 3.9 or newer on the host, or the bundle's own interpreter
attributes:
  check_mode:
    description: Can run in check mode, which is the same because nothing is changed.
    support: full
  diff_mode:
    description: Returns a difference of what was changed, which is always nothing.
    support: none
options: {}
"""

EXAMPLES = r"""
- name: Read the facts
  dualroot.migrate.host_probe:
  register: probed

- name: Show the system disk
  ansible.builtin.debug:
    msg: "{{ probed.facts.system_disk }} {{ probed.facts.system_disk_doubt }}"
"""

RETURN = r"""
facts:
  description: What was found; all sizes in bytes, all positions in logical sectors.
  returned: success
  type: dict
  contains:
    hostname:
      description: Name of the host in its kernel.
      type: str
      sample: gate1
    firmware:
      description: Either V(bios) or V(uefi).
      type: str
      sample: bios
    efi:
      description: What a UEFI firmware says of itself, with its boot entries and their order; V(null) with BIOS.
      type: dict
      sample: {"bits": 64, "variables": true, "boot_current": "0001", "boot_order": ["0001", "0000"]}
    esp:
      description: The EFI system partition that a UEFI host was started from, in bytes; V(null) with BIOS.
      type: dict
      sample: {"node": "/dev/vda1", "disk": "/dev/vda", "number": 1, "start": 1048576, "length": 536870912}
    memory_bytes:
      description: Memory of the host.
      type: int
      sample: 2147483648
    root:
      description: The root file system with its device, disk, UUID and the layers below it.
      type: dict
      sample: {"device": "/dev/vda1", "disk": "/dev/vda", "fstype": "ext4", "stack": ["part"]}
    boot:
      description: The file system that holds C(/boot), and the path of C(/boot) inside it.
      type: dict
      sample: {"mount": "/", "prefix": "/boot"}
    disks:
      description: Every disk with its marks, partition table, partitions and their use.
      type: list
      elements: dict
    system_disk:
      description: The disk below the root file system, or V(null) when it is in doubt.
      type: str
      sample: /dev/vda
    system_disk_doubt:
      description: Why the system disk is in doubt, otherwise empty.
      type: str
      sample: ""
    lifeboat_areas:
      description: Where a lifeboat may lie on the system disk, in bytes; free blocks of the root V(file),
        unpartitioned space V(gap), inside a swap partition V(swap).
      type: list
      elements: dict
      sample: [{"kind": "file", "start": 1610612736, "length": 6442450944, "node": "/dev/vda1"}]
    lifeboat_budget_bytes:
      description: What a file on the root may grow to without crowding the old system.
      type: int
      sample: 5872025600
    lifeboat_held_bytes:
      description: Free bytes of the root beyond that, which stay free.
      type: int
      sample: 570425344
    lifeboat_doubt:
      description: Why free blocks of the root are not among the areas, otherwise empty.
      type: str
      sample: ""
    rehearsals:
      description: What the newest rehearsals on this host measured, as stage two recorded it.
      type: list
      elements: dict
    interfaces:
      description: Network interfaces with their permanent hardware addresses and drivers.
      type: list
      elements: dict
    modaliases:
      description: Devices that need a driver in the convert kernel, from the system disk and the interfaces
        up to their bus.
      type: list
      elements: dict
    bootloader:
      description: The boot loader, its files, and whether a one-shot entry can be armed in it.
      type: dict
      sample: {"kind": "grub2", "directory": "/boot/grub"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dualroot.migrate.plugins.module_utils.ansible_module import run_module
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.facts import read_facts
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    run_module(module, lambda: {"changed": False, "facts": read_facts(CommandRunner())})


if __name__ == "__main__":
    main()
