#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Save what makes a host restorable: wiring of module_utils/snapshot."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_snapshot
short_description: Save what makes a host restorable
version_added: 0.1.0
description:
  - Always saves the partition table, the boot sectors and the LVM metadata of the disk that will be
    rewritten.
  - With O(archive=true) it also packs the root file system of the running system, without what is mounted
    on it.
  - Both stay below O(folder) on the host, readable by root only, until they are fetched and removed.
  - A second run with the same folder makes nothing anew.
author:
  - dualroot.migrate authors (@dualroot)
options:
  disk:
    description: The disk as M(dualroot.migrate.host_probe) describes it, with its name, size and partitions.
    type: dict
    required: true
  folder:
    description: Absolute path of the folder on the host that keeps the evidence of this run.
    type: path
    required: true
  archive:
    description: Also pack the root file system.
    type: bool
    default: false
  archive_folder:
    description: Absolute path of the folder for the archive; O(folder) by default.
    type: path
  exclude:
    description: Patterns of paths to leave out, as GNU tar knows them, starting with C(./).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports whether anything would be saved.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
seealso:
  - module: dualroot.migrate.receive
"""

EXAMPLES = r"""
- name: Save table and boot sectors, and archive the root
  dualroot.migrate.host_snapshot:
    disk: "{{ dualroot_facts.disks | first }}"
    folder: /var/lib/dualroot/runs/20261120T191500Z-1a2b3c
    archive: true
  become: true
"""

RETURN = r"""
evidence:
  description: The archive with table and boot sectors, and the digests of its files; V(null) in check mode.
  returned: success
  type: dict
  sample:
    archive:
      path: /var/lib/dualroot/runs/20261120T191500Z-1a2b3c/evidence.tar.gz
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      size: 51234
    files:
      start.bin: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
root:
  description: The archive of the root file system; V(null) where none was asked for, and in check mode.
  returned: success
  type: dict
  sample:
    path: /var/lib/dualroot/runs/20261120T191500Z-1a2b3c/root.tar.zst
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size: 312345678
    compression: zstd
"""

import os
import shutil
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dualroot.migrate.plugins.module_utils.ansible_module import run_module
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner
from ansible_collections.dualroot.migrate.plugins.module_utils.snapshot import evidence, root_archive


def _which(program):
    return shutil.which(program, path=CommandRunner.SEARCH_PATH)


def _room(folder):
    """Return the bytes used on the root and free where the archive goes."""
    root = os.statvfs("/")
    while not folder.exists():
        folder = folder.parent
    target = os.statvfs(folder)
    return (root.f_blocks - root.f_bfree) * root.f_frsize, target.f_bavail * target.f_frsize


def main():
    module = AnsibleModule(
        argument_spec={
            "disk": {"type": "dict", "required": True},
            "folder": {"type": "path", "required": True},
            "archive": {"type": "bool", "default": False},
            "archive_folder": {"type": "path"},
            "exclude": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    archive_folder = Path(module.params["archive_folder"] or folder)
    wants_archive = module.params["archive"]

    def work():
        before = (
            evidence.read_saved(folder),
            root_archive.read_made(archive_folder) if wants_archive else None,
        )
        if module.check_mode:
            return {
                "changed": None in before[: 2 if wants_archive else 1],
                "evidence": before[0],
                "root": before[1],
            }
        runner = CommandRunner()
        saved = evidence.save(runner, _which, module.params["disk"], folder)
        made = None
        if wants_archive:
            made = root_archive.make(runner, _which, archive_folder, module.params["exclude"], *_room(archive_folder))
        return {"changed": (saved, made) != before, "evidence": saved, "root": made}

    run_module(module, work)


if __name__ == "__main__":
    main()
