#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: bundle_check
short_description: Check that a bundle is whole and from somebody who is trusted
version_added: 0.1.0
description:
  - Reads the manifest of a bundle, checks its signature against the trusted keys, and the size and SHA-256
    of every file, on the controller and before any host is touched.
  - Returns the manifest and the layout, from which everything else of a migration is computed.
  - Where the bundle lies behind an address, the large files are asked for their sizes only. The hosts pull
    them by themselves and check their digests against the same manifest.
options:
  bundle:
    description:
      - A folder on the controller, or an C(http://) or C(https://) address that the hosts reach too.
      - An address may hold a login (C(https://user:password@server/gateway)), in which every sign but letters and
        digits is percent-encoded. It is sent by basic authentication, to no other server that the address leads to.
    type: str
    required: true
  trusted_keys:
    description:
      - Certificates (PEM files on the controller) whose keys may sign bundles.
      - Trust is exactly these. Chains, the authorities of the system and certificates inside the signature
        count for nothing, and a certificate that has expired is refused.
    type: list
    elements: path
    default: []
  allow_unsigned:
    description:
      - Accept a bundle without a signature, or without trusted keys. Digests are checked all the same.
      - A signature that is there is still checked where O(trusted_keys) are given.
    type: bool
    default: false
  layout:
    description:
      - Name of a layout of the bundle, or path of your own layout on the controller (YAML or JSON).
      - Empty for the layout that the bundle names.
    type: str
    default: ''
  cache:
    description:
      - Folder on the controller that keeps small files of bundles behind an address.
    type: path
    default: ~/.cache/dualroot/bundles
requirements:
  - openssl on the controller
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  action:
    description: Runs on the controller.
    support: full
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Check the bundle
  dualroot.migrate.bundle_check:
    bundle: /srv/bundles/debian-13
    trusted_keys:
      - /etc/dualroot/builder.pem
  run_once: true
  register: checked
"""

RETURN = r"""
manifest:
  description: The manifest as it was signed.
  returned: success
  type: dict
manifest_sha256:
  description: SHA-256 of the manifest's bytes.
  returned: success
  type: str
signed_by:
  description: The trusted certificate whose key signed the manifest; empty for an unsigned bundle.
  returned: success
  type: str
fingerprint:
  description: SHA-256 fingerprint of that certificate in small hexadecimal digits; empty for an unsigned bundle.
  returned: success
  type: str
proof:
  description:
    - Manifest, signature and certificate in base64, by file name. They travel with the run, so that the host and
      stage two check the signature themselves.
  returned: success
  type: dict
folder:
  description: The bundle's folder on the controller; empty for a bundle behind an address.
  returned: success
  type: str
url:
  description:
    - The bundle's address as it may be shown, without a slash at its end, login and query; empty for a folder.
  returned: success
  type: str
modaliases:
  description: File on the controller with the device patterns that the convert kernel drives.
  returned: success
  type: str
interpreter:
  description: File on the controller with the bundled Python.
  returned: success
  type: str
layout_name:
  description: Name of the layout.
  returned: success
  type: str
layout:
  description: The layout as a document, not yet resolved for a disk.
  returned: success
  type: dict
fault:
  description: What is wrong with the bundle, as C(id), C(phase), C(what), C(why), C(how).
  returned: failure
  type: dict
"""
