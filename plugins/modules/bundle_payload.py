#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the payload of a bundle: wiring of module_utils/bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_payload
short_description: Build the new system's root archive of a bundle
version_added: 0.1.0
description:
  - Makes a root file system from a Debian suite, takes it from a root archive, or exports it from a disk
    image of a virtual machine.
  - Removes what must not travel, such as SSH host keys, machine-id, logs, caches and entries of the old
    disk in C(fstab), and packs it with numeric owners, ACLs and extended attributes.
  - Refuses a system without a kernel, an initramfs, an init or an SSH server.
options:
  dest:
    description:
      - Folder that receives C(rootfs.tar.zst), or the suffix of another compression.
    type: path
    required: true
  cache:
    description:
      - Folder that keeps what was built, by the digest of its inputs.
    type: path
    required: true
  refresh:
    description:
      - Build anew even if the cache holds it, to get newer packages.
    type: bool
    default: false
  source:
    description:
      - A root archive (tar, plain or compressed) or a disk image (raw, qcow2, vmdk, ova) on the building
        machine.
      - Empty to build from O(suite).
    type: path
  partition:
    description:
      - Number of the partition with the root in a disk image, V(0) to look for it.
    type: int
    default: 0
  suite:
    description:
      - Code name of a Debian release.
    type: str
    default: trixie
  mirror:
    description:
      - Address of the Debian archive. Empty for the one that the building machine's apt uses.
    type: str
    default: ''
  security_mirror:
    description:
      - Address of Debian's security archive. Empty for the one that the building machine's apt uses.
    type: str
    default: ''
  packages:
    description:
      - Packages of the new system.
    type: list
    elements: str
    default: []
  early:
    description:
      - Folders of files that are there before any package is configured.
    type: list
    elements: path
    default: []
  overlay:
    description:
      - Folder of files that are copied over the finished system.
    type: path
  services:
    description:
      - Units of systemd to enable.
    type: list
    elements: str
    default: []
  slim:
    description:
      - Leave out documentation and translations.
    type: bool
    default: true
  compression:
    description:
      - How the archive is compressed.
    type: str
    choices: [zstd, xz, gzip, none]
    default: zstd
  level:
    description:
      - Level of the compression.
    type: int
    default: 12
  epoch:
    description:
      - No file in the archive is younger, in seconds since 1970.
    type: int
    required: true
requirements:
  - root on the building machine
  - tar, zstd; mmdebstrap for suites; qemu-img for disk images
attributes:
  check_mode:
    description: Tells whether the payload would be built or is cached; writes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Export the root of a virtual machine
  dualroot.migrate.bundle_payload:
    dest: /srv/bundles/gateway/payload
    cache: /var/cache/dualroot
    source: /srv/images/gateway.qcow2
    epoch: 1735689600
"""

RETURN = r"""
cached:
  description: Whether the payload came from the cache.
  returned: success
  type: bool
payload:
  description: What the manifest says of the payload, without size and digest.
  returned: success and not in check mode
  type: dict
fault:
  description: What is wrong, as C(id), C(phase), C(what), C(why), C(how).
  returned: failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import hide_login, run_module
from ..module_utils.bundle import building, mirrors
from ..module_utils.bundle.payload import SUFFIXES, SuiteRecipe
from ..module_utils.runner import CommandRunner


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "cache": {"type": "path", "required": True},
            "refresh": {"type": "bool", "default": False},
            "source": {"type": "path"},
            "partition": {"type": "int", "default": 0},
            "suite": {"type": "str", "default": "trixie"},
            "mirror": {"type": "str", "default": ""},
            "security_mirror": {"type": "str", "default": ""},
            "packages": {"type": "list", "elements": "str", "default": []},
            "early": {"type": "list", "elements": "path", "default": []},
            "overlay": {"type": "path"},
            "services": {"type": "list", "elements": "str", "default": []},
            "slim": {"type": "bool", "default": True},
            "compression": {"type": "str", "choices": ["zstd", "xz", "gzip", "none"], "default": "zstd"},
            "level": {"type": "int", "default": 12},
            "epoch": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    for address in mirrors.addresses(module.params["mirror"], module.params["security_mirror"]):
        hide_login(module, address)
    run_module(module, lambda: build(module.params, module.check_mode))


def build(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    cache, target = Path(options["cache"]), Path(options["dest"])
    wanted = order(options)
    if check_mode:
        cached = (cache / f"payload-{wanted.digest()[:32]}" / "facts.json").is_file() and not options["refresh"]
        placed = (target / f"rootfs{SUFFIXES[wanted.compression]}").is_file()
        return {"changed": not (cached and placed), "cached": cached}
    return building.make_payload(CommandRunner(), wanted, cache=cache, target=target, refresh=options["refresh"])


def order(options: dict[str, Any]) -> building.PayloadOrder:
    suite = SuiteRecipe(
        suite=options["suite"],
        mirrors=mirrors.choose(options["mirror"], options["security_mirror"], options["suite"]),
        packages=options["packages"],
        early=[Path(folder) for folder in options["early"]],
        overlay=Path(options["overlay"]) if options["overlay"] else None,
        slim=options["slim"],
        services=options["services"],
    )
    return building.PayloadOrder(
        source=Path(options["source"]) if options["source"] else None,
        suite=suite,
        partition=options["partition"],
        compression=options["compression"],
        level=options["level"],
        epoch=options["epoch"],
    )


if __name__ == "__main__":
    main()
