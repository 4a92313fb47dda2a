#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: receive
short_description: Fetch big files of root's from a host by digest, resumed where they broke off
version_added: 0.1.0
description:
  - Fetches files in pieces through the connection, as the become user, so that neither side holds a whole
    file in memory and no copy for the login user is made on the host.
  - Needs neither Python nor an SFTP server on the host, only a shell, C(dd) and C(base64).
  - A file that is on the controller with the right digest is not fetched; a part of it is continued; a file
    whose digest is wrong on arrival is removed.
author:
  - dualroot.migrate authors (@dualroot)
options:
  files:
    description: What to fetch.
    type: list
    elements: dict
    required: true
    suboptions:
      src:
        description: Absolute path on the host.
        type: path
        required: true
      dest:
        description: File on the controller, made with mode 0600; folders above it with mode 0700.
        type: path
        required: true
      sha256:
        description: SHA-256 of the file on the host.
        type: str
        required: true
      size:
        description: Size of the file on the host in bytes.
        type: int
        required: true
  remove:
    description: Remove the files on the host once all have arrived.
    type: bool
    default: false
attributes:
  check_mode:
    description: Says what would be fetched.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
  action:
    description: Runs on the controller.
    support: full
seealso:
  - module: dualroot.migrate.host_snapshot
"""

EXAMPLES = r"""
- name: Fetch the archive of the old root
  dualroot.migrate.receive:
    files:
      - src: "{{ snapshot.root.path }}"
        dest: /srv/snapshots/gate1/root.tar.zst
        sha256: "{{ snapshot.root.sha256 }}"
        size: "{{ snapshot.root.size }}"
    remove: true
  become: true
"""

RETURN = r"""
received:
  description: Files on the controller that were fetched; empty where all were there.
  returned: success
  type: list
  elements: str
"""
