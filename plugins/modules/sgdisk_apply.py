#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the partition table of a disk as a layout wants it; wiring only."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sgdisk_apply
short_description: Switch the whole partition table of a disk with one sector write
version_added: 0.1.0
description:
  - Makes the GUID partition table of a disk equal to a layout, or to a table saved with C(sgdisk --backup).
  - The new entries are written beside those in use and flushed; one write of the header's sector then makes
    them the table, and the backup follows. A power cut at any moment leaves the old table or the new one, and
    running again completes it. The result is read back as Linux, GRUB and UEFI firmware read it, and
    C(sgdisk --verify) accepts it.
  - Partitions that are missing are added, even on a disk that is in use. Partitions that exist are never
    altered. Anything else needs a new table, which is only written with O(relabel=true) and only to a disk
    that nothing uses. A table of which only one copy is damaged is mended, also in use.
  - A partition that is the same in the old and the new table, by place and UUID, keeps its content.
  - The first and the last MiB of each new partition are cleared, so that no old signature comes to life.
  - Works with sectors of 512 and 4096 bytes, and with virtio, SCSI, NVMe and MMC names.
author:
  - dualroot.migrate authors (@dualroot)
requirements:
  - C(partx), C(udevadm) and C(blkid) on the host; C(sgdisk) to keep a copy of a GPT that is changed
options:
  disk:
    description:
      - The disk, best as a path below C(/dev/disk/by-id). It is never guessed.
    type: path
    required: true
    aliases: [device]
  layout:
    description:
      - A layout document, or the resolved layout of a plan, which is taken as it is.
    type: dict
  upto:
    description:
      - Up to which moment of the layout its partitions are made.
    type: str
    choices: [convert, commit]
    default: convert
  seed:
    description:
      - Text from which the UUIDs of a layout that is not resolved yet are computed.
      - The same text always gives the same UUIDs.
      - The name in O(disk) by default.
    type: str
  backup_file:
    description:
      - File on the host, written by C(sgdisk --backup), with the table to make.
    type: path
  relabel:
    description:
      - Allow that an existing table, or a file system without a table, is replaced by a new table.
    type: bool
    default: false
  backup_directory:
    description:
      - Folder on the host in which a copy of the table is kept before it is changed.
    type: path
    default: /var/lib/dualroot/tables
attributes:
  check_mode:
    description: Can run in check mode and returns the change without making it.
    support: full
  diff_mode:
    description: Returns the table before and after.
    support: full
"""

EXAMPLES = r"""
- name: Partition an empty disk as the layout says
  dualroot.migrate.sgdisk_apply:
    disk: /dev/disk/by-id/virtio-LAB0001
    layout: "{{ lookup('ansible.builtin.file', 'va.yml') | from_yaml }}"

- name: Add what the layout leaves for the commit, on the disk in use
  dualroot.migrate.sgdisk_apply:
    disk: /dev/vda
    layout: "{{ plan.layout }}"
    upto: commit

- name: Give a disk with an MBR a saved table
  dualroot.migrate.sgdisk_apply:
    disk: /dev/disk/by-id/nvme-eui.0025388b710116a1
    backup_file: /root/disk.gpt
    relabel: true
"""

RETURN = r"""
before:
  description: The table before the change.
  returned: success
  type: dict
  contains: &table
    table:
      description: One of V(gpt), V(dos) and V(none).
      type: str
      sample: gpt
    table_id:
      description: Disk GUID or MBR identifier.
      type: str
      sample: 25af8288-17f0-59ab-8652-89076b7ddf58
    partitions:
      description: The partitions, with positions in logical sectors.
      type: list
      elements: dict
      sample: [{"number": 1, "name": "bios", "start_lba": 2048, "sectors": 4096, "attributes": []}]
    problems:
      description: Defects of the table.
      type: list
      elements: str
after:
  description: The table after the change.
  returned: success
  type: dict
  contains: *table
change:
  description: What was done, V(none), V(add), V(mend), V(retire) (a kept old partition went) or V(replace).
  returned: success
  type: str
  sample: add
backup:
  description: Path on the host of a copy of the table before the change; empty when there was none.
  returned: success
  type: str
  sample: /var/lib/dualroot/tables/dev-vda-20250101T000000Z.gpt
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dualroot.migrate.plugins.module_utils.ansible_module import run_module
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import describing, saving, sysfs, table
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.read import read_disk
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.given import resolved_from
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner


def wanted_table(params, node, found):
    """Return the wanted table, the entries that may be there already, and those that go."""
    if params["backup_file"]:
        wanted, sectors = table.saved(Path(params["backup_file"]))
        table.require_geometry(node, found, sectors * found.sector_bytes, found.sector_bytes)
        return wanted, (), ()
    geometry = DiskGeometry(found.size_bytes, found.sector_bytes)
    resolved = resolved_from(params["layout"], geometry, params["seed"] or params["disk"])
    table.require_geometry(node, found, resolved.disk_bytes, resolved.sector_bytes)
    upto = params["upto"]
    return table.target(resolved, upto), table.target(resolved, "commit").entries, table.retired(resolved, upto)


def work(module):
    """Make the table, or in check mode only say what would be made."""
    params, runner = module.params, CommandRunner()
    node = sysfs.node_of(sysfs.require_disk(params["disk"]))
    found = read_disk(node)
    wanted, later, retire = wanted_table(params, node, found)
    change = table.plan_change(found, wanted, later, retire)
    table.check_change(runner, node, found, change, relabel=params["relabel"])
    before, after = describing.describe(found), describing.describe_after(found, change, wanted)
    backup = ""
    if change.kind != "none" and not module.check_mode:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        backup = saving.save(runner, node, found, Path(params["backup_directory"]), stamp)
    if not module.check_mode:
        # Also where nothing is to be written: the kernel may not have the table yet.
        table.apply_table(runner, node, wanted, later=later, retire=retire, relabel=params["relabel"])
        after = describing.describe(read_disk(node))
    return {
        "changed": change.kind != "none",
        "change": change.kind,
        "before": before,
        "after": after,
        "backup": backup,
        "diff": {"before": before, "after": after},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "disk": {"type": "path", "required": True, "aliases": ["device"]},
            "layout": {"type": "dict"},
            "upto": {"type": "str", "choices": ["convert", "commit"], "default": "convert"},
            "seed": {"type": "str"},
            "backup_file": {"type": "path"},
            "relabel": {"type": "bool", "default": False},
            "backup_directory": {"type": "path", "default": "/var/lib/dualroot/tables"},
        },
        required_one_of=[("layout", "backup_file")],
        mutually_exclusive=[("layout", "backup_file")],
        supports_check_mode=True,
    )
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
