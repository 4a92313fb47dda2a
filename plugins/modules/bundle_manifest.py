#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write and sign the manifest of a bundle: wiring of module_utils/bundle."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_manifest
short_description: Write and sign the manifest of a bundle
version_added: 0.1.0
description:
  - Writes C(manifest.json) with the size and SHA-256 of every file of the bundle, and signs it with a
    detached CMS signature, C(manifest.json.cms).
  - Every layout of the bundle is checked first.
  - A bundle whose manifest is unchanged and whose signature is good is left alone.
options:
  folder:
    description:
      - The bundle's folder. It holds the folders C(environment), C(payload) and C(layouts).
    type: path
    required: true
  name:
    description:
      - Name of the bundle.
    type: str
    required: true
  version:
    description:
      - Version of the bundle.
    type: str
    required: true
  environment:
    description:
      - What M(dualroot.migrate.bundle_environment) returned.
    type: dict
    required: true
  payload:
    description:
      - What M(dualroot.migrate.bundle_payload) returned.
    type: dict
    required: true
  layout:
    description:
      - Name of the layout that is used unless told otherwise.
    type: str
    required: true
  key:
    description:
      - Key that signs, in PEM format, mode 0600, outside of the bundle. Empty leaves the bundle unsigned.
    type: path
  certificate:
    description:
      - Certificate of the key, in PEM format.
    type: path
  make_key:
    description:
      - Make the key and a certificate for it where there is none.
    type: bool
    default: false
requirements:
  - openssl
attributes:
  check_mode:
    description: Tells whether the manifest would change.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Write and sign the manifest
  dualroot.migrate.bundle_manifest:
    folder: /srv/bundles/debian-13
    name: debian-13
    version: '1'
    environment: "{{ environment_built.environment }}"
    payload: "{{ payload_built.payload }}"
    layout: va
    key: /root/.config/dualroot/builder.key
    certificate: /root/.config/dualroot/builder.pem
    make_key: true
"""

RETURN = r"""
certificate:
  description: The certificate for C(dualroot_trusted_keys); empty for an unsigned bundle.
  returned: success
  type: str
key_made:
  description: Whether a key was made.
  returned: success
  type: bool
fault:
  description: What is wrong, as C(id), C(phase), C(what), C(why), C(how).
  returned: failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.bundle import building, signature
from ..module_utils.runner import CommandRunner


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "environment": {"type": "dict", "required": True},
            "payload": {"type": "dict", "required": True},
            "layout": {"type": "str", "required": True},
            "key": {"type": "path", "no_log": False},
            "certificate": {"type": "path"},
            "make_key": {"type": "bool", "default": False, "no_log": False},
        },
        required_together=[("key", "certificate")],
        supports_check_mode=True,
    )
    run_module(module, lambda: sign(module.params, module.check_mode))


def sign(options: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    runner, folder = CommandRunner(), Path(options["folder"])
    key = Path(options["key"]) if options["key"] else None
    certificate = Path(options["certificate"] or "")
    made = key is not None and not key.exists() and options["make_key"]
    if made and key is not None and not check_mode:
        signature.make_key(runner, key, certificate, f"dualroot bundle builder {options['name']}")
    changed = building.make_manifest(
        runner,
        folder,
        name=options["name"],
        version=options["version"],
        parts=options,
        layout=options["layout"],
        key=key,
        certificate=certificate,
        check_only=check_mode,
    )
    return {"changed": changed or made, "certificate": str(certificate) if key else "", "key_made": made}


if __name__ == "__main__":
    main()
