#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: transfer
short_description: Send big files to a host by digest, resumed where they broke off
version_added: 0.1.0
description:
  - Sends files in pieces through the connection, as the become user, straight to where they belong.
  - Needs neither Python nor an SFTP server on the host, only a shell, C(cat) and C(sha256sum).
  - A file that is there with the right digest is not sent; a part of it is continued; a file whose digest is wrong on
    arrival is removed.
options:
  files:
    description:
      - What to send.
    type: list
    elements: dict
    required: true
    suboptions:
      src:
        description:
          - File on the controller.
        type: path
        required: true
      dest:
        description:
          - Absolute path on the host. Folders above it are made with mode 0700.
        type: path
        required: true
      sha256:
        description:
          - SHA-256 of the file.
        type: str
        required: true
      size:
        description:
          - Size of the file in bytes.
        type: int
        required: true
      mode:
        description:
          - Mode of the file on the host.
        type: str
        default: '0600'
  reserve:
    description:
      - Bytes that must stay free on the file systems of the host; nothing is sent where they would not.
    type: int
    default: 0
  state:
    description:
      - With V(absent) the files on the host are removed, their parts too, and their folder where it is empty then.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Reports a change, and neither sends nor removes anything.
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
- name: Send the payload
  dualroot.migrate.transfer:
    files:
      - src: /srv/bundle/rootfs.tar.zst
        dest: /var/lib/dualroot/stage/rootfs.tar.zst
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
        size: 126353408
  become: true
"""

RETURN = r"""
sent:
  description: Paths on the host that were sent; empty where all were there.
  returned: success
  type: list
  elements: str
"""
