#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the convert environment of a bundle: wiring of module_utils/bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_environment
short_description: Build the convert kernel and initrd of a bundle
version_added: 0.1.0
description:
  - Unpacks distribution packages, keeps the named programs with the libraries that they need, and packs
    kernel, initrd, the list of devices that they drive, and a bundled Python for hosts without one.
  - Equal inputs give equal bytes.
  - What comes from packages is kept in a cache by the digest of its recipe. The engine of this collection is
    a second, small part of the initrd and is packed anew each time.
options:
  dest:
    description:
      - Folder that receives C(vmlinuz), C(initrd.img), C(modaliases.json) and C(interpreter.tar.gz).
    type: path
    required: true
  cache:
    description:
      - Folder that keeps what was built. Building takes about 1 GiB in it for a while.
    type: path
    required: true
  refresh:
    description:
      - Build anew even if the cache holds this recipe, to get newer packages.
    type: bool
    default: false
  recipe:
    description:
      - What the environment is made of.
    type: dict
    required: true
    suboptions:
      suite:
        description: Code name of the Debian release.
        type: str
        required: true
      packages:
        description: Packages to unpack, with what they depend on; none of their scripts runs.
        type: list
        elements: str
        required: true
      kernel_package:
        description: The package that brings or pulls in the one kernel.
        type: str
        required: true
      firmware_packages:
        description: Packages whose firmware files are kept where a kept driver names them.
        type: list
        elements: str
        default: []
      programs:
        description: Names of programs to keep.
        type: list
        elements: str
        required: true
      files:
        description: Globs of other files and folders to keep, relative to the root.
        type: list
        elements: str
        required: true
      without:
        description: Patterns that are left out of O(recipe.files).
        type: list
        elements: str
        default: []
      libraries:
        description: Libraries that programs open at run time.
        type: list
        elements: str
        default: []
      links:
        description: Symbolic links to make, as C({path&#58; target}).
        type: dict
        default: {}
      modules:
        description: Patterns of kernel modules to keep, with what they depend on.
        type: list
        elements: str
        required: true
      modules_without:
        description: Patterns that are left out of O(recipe.modules).
        type: list
        elements: str
        default: []
      epoch:
        description: Time of every file, in seconds since 1970.
        type: int
        required: true
      level:
        description: Level of zstd.
        type: int
        default: 19
      overlay:
        description: Folder of files that are copied over the tree.
        type: path
        required: true
      interpreter:
        description: Folder with the start script of the bundled Python.
        type: path
        required: true
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
  engine:
    description:
      - The C(module_utils) folder of this collection.
    type: path
    required: true
  init:
    description:
      - The first process of the environment.
    type: path
    required: true
  limit:
    description:
      - Bytes that the initrd may have at most.
    type: int
    default: 62914560
requirements:
  - root on the building machine
  - mmdebstrap, zstd
attributes:
  check_mode:
    description: Tells whether the environment would be built or is cached; writes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Build the convert environment (the role bundle holds the whole recipe)
  dualroot.migrate.bundle_environment:
    dest: /srv/bundles/debian-13/environment
    cache: /var/cache/dualroot
    recipe: "{{ bundle_recipe }}"
    engine: "{{ role_path }}/../../plugins/module_utils"
    init: "{{ role_path }}/files/init"
"""

RETURN = r"""
cached:
  description: Whether the part from packages came from the cache.
  returned: success
  type: bool
environment:
  description: What the manifest says of the environment, C(kernel_release) and C(unpacked_bytes).
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
from ..module_utils.bundle import building, environment, mirrors
from ..module_utils.runner import CommandRunner


def texts(**more: Any) -> dict[str, Any]:
    return {"type": "list", "elements": "str", **more}


RECIPE = {
    "suite": {"type": "str", "required": True},
    "packages": texts(required=True),
    "kernel_package": {"type": "str", "required": True},
    "firmware_packages": texts(default=[]),
    "programs": texts(required=True),
    "files": texts(required=True),
    "without": texts(default=[]),
    "libraries": texts(default=[]),
    "links": {"type": "dict", "default": {}},
    "modules": texts(required=True),
    "modules_without": texts(default=[]),
    "epoch": {"type": "int", "required": True},
    "level": {"type": "int", "default": 19},
    "overlay": {"type": "path", "required": True},
    "interpreter": {"type": "path", "required": True},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "cache": {"type": "path", "required": True},
            "refresh": {"type": "bool", "default": False},
            "recipe": {"type": "dict", "required": True, "options": RECIPE},
            "mirror": {"type": "str", "default": ""},
            "security_mirror": {"type": "str", "default": ""},
            "engine": {"type": "path", "required": True},
            "init": {"type": "path", "required": True},
            "limit": {"type": "int", "default": 60 << 20},
        },
        supports_check_mode=True,
    )
    for address in mirrors.addresses(module.params["mirror"], module.params["security_mirror"]):
        hide_login(module, address)
    run_module(module, lambda: build(module.params, module.check_mode))


def build(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    given = options["recipe"]
    recipe = environment.Recipe(
        **{
            **given,
            "mirrors": mirrors.choose(
                options["mirror"],
                options["security_mirror"],
                given["suite"],
                bool(given["firmware_packages"]),
            ),
            "overlay": Path(given["overlay"]),
            "interpreter": Path(given["interpreter"]),
        },
    )
    cache, target = Path(options["cache"]), Path(options["dest"])
    if check_mode:
        cached = environment.cached_base(recipe, cache) is not None and not options["refresh"]
        return {"changed": not cached or not (target / "initrd.img").is_file(), "cached": cached}
    result = building.make_environment(
        CommandRunner(),
        recipe,
        cache=cache,
        engine=Path(options["engine"]),
        init=Path(options["init"]),
        limit=options["limit"],
        target=target,
        refresh=options["refresh"],
    )
    facts = {name: result.pop(name) for name in ("kernel_release", "unpacked_bytes")}
    return {**result, "environment": facts}


if __name__ == "__main__":
    main()
