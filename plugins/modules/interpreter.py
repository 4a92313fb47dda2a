#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: interpreter
short_description: Find a Python for modules on a host, or bring the bundle's own
version_added: 0.1.0
description:
  - Looks for Python 3.9 or newer with raw commands.
  - Where there is none, sends the interpreter that a bundle carries and unpacks it below C(/var/lib/dualroot). It runs
    through its own dynamic loader, so nothing of the host's userland is used or changed, and no package is installed.
options:
  state:
    description:
      - Find or bring one, or remove what was brought.
    type: str
    choices: [present, absent]
    default: present
  archive:
    description:
      - The bundle's interpreter, a file on the controller. Without it a host without a usable Python is a fault.
    type: path
  sha256:
    description:
      - SHA-256 of O(archive).
    type: str
  size:
    description:
      - Size of O(archive) in bytes.
    type: int
  prefer:
    description:
      - Path of an interpreter to try first, normally the operator's C(ansible_python_interpreter).
      - Anything but an absolute path is ignored.
    type: str
  openssl:
    description:
      - Also unpack O(archive) where the host has a Python and no C(openssl); the archive carries one, with which the
        signature of the bundle is checked on the host.
    type: bool
    default: false
attributes:
  check_mode:
    description: Looks, and fails where something would have to be unpacked.
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
- name: Find or bring a Python
  dualroot.migrate.interpreter:
    archive: /srv/bundle/interpreter.tar.gz
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    size: 13631488
  become: true
  register: dualroot_python

- name: Use it
  ansible.builtin.set_fact:
    ansible_python_interpreter: "{{ dualroot_python.interpreter }}"
"""

RETURN = r"""
openssl:
  description: Whether the host has an C(openssl), its own or the bundled one.
  returned: when O(state=present)
  type: bool
interpreter:
  description: Path of the interpreter on the host.
  returned: when O(state=present)
  type: str
version:
  description: Its version.
  returned: when O(state=present)
  type: str
bundled:
  description: Whether it is the bundle's.
  returned: when O(state=present)
  type: bool
"""
