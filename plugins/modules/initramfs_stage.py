#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage the convert kernel and initrd on a host and arm a one-shot boot entry."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: initramfs_stage
short_description: Stage a migration on a host and arm its one-shot boot entry
version_added: 0.1.0
description:
  - Puts convert kernel, convert initrd and the host's own small cpio archive (plan and capture, mode 0600) into
    C(/boot/dualroot), and payload, plan and capture into the plan's staging folder. Every file is compared by
    digest; a second run copies nothing.
  - Adds a boot entry with the id C(dualroot-convert) to C(custom.cfg), which the C(grub.cfg) of GRUB 2 on Debian
    and on the RHEL family reads; where it does not, C(grubby) adds the entry. The default entry is not touched.
  - Arms the entry for one start (C(next_entry), by C(grub-reboot) or C(grub2-reboot)) and reads it back. Any crash
    before the point of no return therefore ends in the old system after a reboot.
  - Where the plan has a lifeboat, blocks of the old root that the new layout leaves alone until commit are claimed by
    one file (C(/var/lib/dualroot/lifeboat), mode 0600), as many as unpartitioned space does not offer. Kernel, initrd,
    the host's archive and the payload are written there, flushed, and read back from the disk itself. The old file
    system keeps 5 % and 256 MiB free at every moment. The staged payload is removed then, unless a part of the
    lifeboat waits for stage two to be written into swap.
  - While anything is changed the one-shot is not armed, so whatever stops a staging, the next start is the old
    system's and the next run goes on from there.
  - Refuses a host whose GRUB cannot strike out the one-shot by itself (its environment on LVM, RAID, btrfs),
    because the entry would then repeat.
options:
  state:
    description:
      - V(staged) puts files and entry in place. V(armed) does the same and sets the one-shot.
      - V(disarmed) takes everything back, the lifeboat included; secrets are overwritten before they are removed. It
        needs no other option.
    type: str
    choices: [staged, armed, disarmed]
    default: staged
  plan:
    description:
      - The frozen plan of this host. Its digest is checked.
      - Required for O(state=staged) and O(state=armed).
    type: dict
  source:
    description:
      - Where the bundle's files are, a folder on this host or an http(s) address. The names are those of the plan.
      - Without it the files are expected in the plan's staging folder.
      - From an address the host loads the files itself, by C(curl) where it has it, and goes on where an earlier
        attempt ended.
    type: str
    default: ''
  capture:
    description:
      - The captured configuration on this host. It holds secrets and never leaves the host.
    type: path
    default: /var/lib/dualroot/stage/capture.json
  proof:
    description:
      - Manifest, signature and trusted certificate of the bundle, as M(dualroot.migrate.bundle_check) returns them.
      - They are checked against the plan before anything is written, and travel with the host's own archive, so
        that stage two checks them again.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Compares all files by digest and reports what would be done.
    support: full
  diff_mode:
    description: Shows which files and entries change, never their content.
    support: full
  platform:
    description: Linux hosts that start with GRUB 2.
    support: full
    platforms: linux
seealso:
  - module: dualroot.migrate.convert
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Stage and arm, from files that are on the host already
  dualroot.migrate.initramfs_stage:
    state: armed
    plan: "{{ dualroot_plan }}"

- name: Stage from a web server, which serves many hosts at once
  dualroot.migrate.initramfs_stage:
    state: staged
    plan: "{{ dualroot_plan }}"
    source: https://bundles.example.net/gateway-13.1

- name: Take everything back
  dualroot.migrate.initramfs_stage:
    state: disarmed
"""

RETURN = r"""
changes:
  description: What was done, or would be done in check mode, in its order.
  returned: success
  type: list
  elements: dict
  contains:
    what:
      description: A file of the bundle (V(kernel), V(initrd), V(payload)), its place for GRUB (V(boot kernel),
        V(boot initrd)), V(plan.json), V(capture.json), V(lifeboat), V(host.cpio), V(entry), V(payload copy) (the
        staged payload, once the lifeboat has it), V(one-shot), or V(folder).
      type: str
    path:
      description: The file or folder that is concerned.
      type: str
    bytes:
      description: Its size.
      type: int
  sample:
    - what: initrd
      path: /var/lib/dualroot/stage/initrd.img
      bytes: 53687091
bytes_copied:
  description: Bytes written for files.
  returned: when O(state) is V(staged) or V(armed)
  type: int
  sample: 184549376
lifeboat:
  description:
    - Where on the disk the parts of the lifeboat lie; in check mode as it was found. Null for a plan without one.
    - It is also in the host's own archive as C(lifeboat.json).
  returned: when O(state) is V(staged) or V(armed)
  type: dict
  contains:
    version:
      description: Format of this description.
      type: int
    run_id:
      description: The run.
      type: str
    plan_digest:
      description: Digest of the plan.
      type: str
    disk_bytes:
      description: Size of the disk.
      type: int
    sector_bytes:
      description: Size of a logical sector of the disk.
      type: int
    parts:
      description: For each part its C(size), C(sha256) (empty where it is not known), and C(extents), pairs of
        start and length in bytes of the disk.
      type: dict
armed_entry:
  description: The one-shot entry as read back from GRUB's environment; empty if none.
  returned: success
  type: str
  sample: dualroot-convert
kernel_arguments:
  description: The kernel arguments of the entry.
  returned: when O(state) is V(staged) or V(armed)
  type: list
  elements: str
  sample: ["dualroot.mode=convert", "dualroot.run=20260101T120000Z-3f9a1c", "dualroot.limit=4200", "gpt"]
fault:
  description: The fault that ended the module, with RV(ignore:id), phase, what, why and how.
  returned: failure
  type: dict
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import hide_login, run_module
from ..module_utils.boot import disarming, staging
from ..module_utils.bundle import proof
from ..module_utils.plan import document
from ..module_utils.runner import CommandRunner


def described(changes, removed):
    """Return changes as the result and the diff show them: names and sizes, never content."""
    lines = "".join(f"{change.what}: {change.path}\n" for change in changes)
    return {
        "changes": [vars(change) for change in changes],
        "diff": {"before": lines if removed else "", "after": "" if removed else lines},
    }


def stage(module, runner):
    """Stage, and arm where that is wanted."""
    params = module.params
    capture = Path(params["capture"])
    plan = document.load(params["plan"])
    files = proof.check_on_host(runner, params["proof"], plan, staging.read_capture(capture), time.time())
    extra = {f"{proof.FOLDER}/{name}": content for name, content in files.items()}
    order = staging.Staging(runner, plan, params["source"], capture, extra=extra)
    changes = order.pending() if module.check_mode else order.apply()
    # While anything was changed nothing was armed.
    to_arm = params["state"] == "armed" and (bool(changes) or not order.is_armed())
    if to_arm:
        changes.append(staging.Change("one-shot", str(order.loader.environment)))
        if not module.check_mode:
            order.arm()
    lifeboat = order.lifeboat()
    return {
        "changed": bool(changes),
        "bytes_copied": sum(change.bytes for change in changes),
        "armed_entry": order.armed_entry(),
        "kernel_arguments": list(order.entry().arguments),
        "lifeboat": lifeboat.to_document() if lifeboat else None,
        **described(changes, removed=False),
    }


def disarm(module, runner):
    """Take everything back."""
    changes = disarming.remains(runner) if module.check_mode else disarming.disarm(runner)
    return {
        "changed": bool(changes),
        "armed_entry": disarming.armed_entry(runner),
        **described(changes, removed=True),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["staged", "armed", "disarmed"], "default": "staged"},
            "plan": {"type": "dict"},
            "source": {"type": "str", "default": ""},
            "proof": {"type": "dict", "default": {}},
            "capture": {"type": "path", "default": "/var/lib/dualroot/stage/capture.json"},
        },
        required_if=[("state", "staged", ["plan"]), ("state", "armed", ["plan"])],
        supports_check_mode=True,
    )
    hide_login(module, module.params["source"])
    work = disarm if module.params["state"] == "disarmed" else stage
    run_module(module, lambda: work(module, CommandRunner()))


if __name__ == "__main__":
    main()
