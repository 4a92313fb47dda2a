#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore a root file system from a tar archive: wiring of module_utils/archive."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: tar_restore
short_description: Restore a root file system from a tar archive
version_added: 0.1.0
description:
  - Unpacks an archive of a root file system into a directory, normally a new and mounted file system.
  - Keeps numeric owners, modes, extended attributes (file capabilities, SELinux labels), ACLs,
    sparse files, hard links and device nodes.
  - The digest is taken from the very bytes that are unpacked. An archive that is damaged, cut off or
    larger than promised, or that holds members with absolute paths, C(..), or links out of the target,
    is refused.
  - An interrupted restore never looks complete. The file C(.dualroot-restore) in the target says
    C(incomplete) from before the first write until everything is on the disk; the next run then starts
    from an empty target.
options:
  src:
    description:
      - Archive on the managed host, or its http(s) address. Plain, gzip, xz or zstd, told apart by content and not by
        name.
      - From an address it is streamed without a copy, and a connection that breaks is taken up where it ended. Set
        O(sha256) with it - nothing else proves that all parts belong together.
    type: path
    required: true
  dest:
    description:
      - Directory to restore into. It must exist.
      - What is mounted below it is neither counted as content nor deleted.
    type: path
    required: true
  sha256:
    description:
      - SHA-256 that the packed file must have.
      - With it a second run is known to have nothing to do without reading the archive.
    type: str
    default: ''
  unpacked_bytes:
    description:
      - Size of the unpacked tar in bytes, as its manifest says. A tenth and 64 MiB more are accepted.
      - V(0) sets no limit.
    type: int
    default: 0
  existing:
    description:
      - What to do when O(dest) holds other files.
      - V(refuse) fails, V(erase) deletes them first, V(overlay) writes over them and keeps the others.
      - The C(lost+found) of a file system, and the remains of an interrupted restore, are no other files.
    type: str
    choices: [refuse, erase, overlay]
    default: refuse
attributes:
  check_mode:
    description: Checks archive and target, and tells whether there is something to do.
    support: full
  diff_mode:
    description: Shows state and digest of the target before and after.
    support: full
requirements:
  - GNU tar and, by the compression of the archive, gzip, xz or zstd on the managed host
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Restore the second slot
  dualroot.migrate.tar_restore:
    src: /var/tmp/rootfs.tar.zst
    dest: /mnt/root_b
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    unpacked_bytes: 819462144

- name: Restore straight from an address, without room for a copy
  dualroot.migrate.tar_restore:
    src: https://bundles.example.com/gateway-7/payload/rootfs.tar.zst
    dest: /mnt/root_b
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

- name: Start over, whatever is there
  dualroot.migrate.tar_restore:
    src: /var/tmp/rootfs.tar.xz
    dest: /mnt/root_b
    existing: erase
"""

RETURN = r"""
digest:
  description: SHA-256 of the packed archive.
  returned: success, and not in check mode unless known
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
bytes:
  description: Size of the packed archive in bytes.
  returned: success
  type: int
  sample: 157286400
unpacked_bytes:
  description: Size of the unpacked tar in bytes; 0 if nothing was restored.
  returned: success
  type: int
  sample: 819462144
entries:
  description: Number of members restored; 0 if nothing was restored.
  returned: success
  type: int
  sample: 18211
seconds:
  description: Time that the restore took, up to the last byte on the disk.
  returned: success
  type: float
  sample: 6.2
notes:
  description: What of the archive could not be kept, for example an ACL for a user that the restored system lacks.
  returned: success
  type: list
  elements: str
  sample: []
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

import hashlib
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.address import is_address
from ..module_utils.ansible_module import hide_login, run_module
from ..module_utils.archive import restore as engine
from ..module_utils.runner import CommandRunner
from ..module_utils.update.http import Download


def file_digest(path):
    """Return the SHA-256 of a file."""
    hasher = hashlib.sha256()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            hasher.update(chunk)
    return hasher.hexdigest()


def described(marker):
    """Return a restore marker as the diff shows it."""
    return {"state": marker.state if marker else "none", "digest": marker.digest if marker else ""}


def work(module):
    """Restore, or tell what would be done."""
    params = module.params
    order = engine.Order(
        source=Download(params["src"], 0) if is_address(params["src"]) else Path(params["src"]),
        target=Path(params["dest"]),
        sha256=params["sha256"].lower(),
        unpacked_bytes=params["unpacked_bytes"],
        existing=params["existing"],
    )
    before = engine.state(order)
    is_file = isinstance(order.source, Path) and order.source.is_file()
    if before is not None and before.complete and not order.sha256 and is_file:
        # Without a digest only the archive itself can tell whether it is the one in the target.
        found = file_digest(order.source)
        order = engine.Order(**{**vars(order), "sha256": found if found == before.digest else ""})
    if module.check_mode:
        done = engine.is_done(order)
        if not done:
            engine.check(order)
        size = os.stat(order.source).st_size if is_file else 0
        result = engine.Restored(not done, order.sha256, size)
        after = {"state": "complete", "digest": order.sha256}
    else:
        result = engine.restore(CommandRunner(), order)
        after = described(engine.state(order))
    return {**vars(result), "notes": list(result.notes), "diff": {"before": described(before), "after": after}}


def main():
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "sha256": {"type": "str", "default": ""},
            "unpacked_bytes": {"type": "int", "default": 0},
            "existing": {"type": "str", "choices": list(engine.EXISTING), "default": "refuse"},
        },
        supports_check_mode=True,
    )
    hide_login(module, module.params["src"])
    run_module(module, lambda: work(module))


if __name__ == "__main__":
    main()
