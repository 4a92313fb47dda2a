#!/usr/bin/python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what a host carries over into its new system."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_capture
short_description: Read what a host carries over into its new system
version_added: 0.1.0
description:
  - Reads network, DNS, host name, accounts with their password hashes, sudoers, authorized keys, the SSH
    host keys and login policy, machine id, time zone, locale, keyboard, console arguments and extra paths
    into one document.
  - The document holds secrets. It is written to O(dest) on the host, readable by root only, and never leaves
    the host. What the module returns is a copy without hashes, private keys and contents of files.
  - The network is read from the files of ifupdown, from C(ifcfg) files of the RHEL family, or from
    systemd-networkd, and compared with the running kernel. The files count, differences are findings. Where
    something else manages the network, the kernel's state is taken, and a finding says so.
options:
  dest:
    description:
      - File on the host for the whole document, mode 0600, owned by root.
      - With it the module fails where something cannot be carried over. Without it nothing is written and
        nothing fails, so that preflight can show every finding at once.
    type: path
  extra_paths:
    description:
      - Files and folders that are carried over beside the configuration, with owners, modes and attributes.
    type: list
    elements: str
    default: []
  extra_paths_limit:
    description:
      - Bytes that O(extra_paths) may hold together. They travel in the RAM of stage two.
    type: int
    default: 16777216
  login_user:
    description:
      - An account that is carried over whatever kind it is; the login of the run.
    type: str
    default: ''
  renderer:
    description:
      - What configures the network of the new system. What it cannot express is reported as a finding.
    type: str
    choices: [networkd, ifupdown]
attributes:
  check_mode:
    description: Reads and returns everything, and writes nothing.
    support: full
  diff_mode:
    description: Shows the document without its secrets, before and after.
    support: full
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Capture what is carried over
  dualroot.migrate.host_capture:
    dest: /var/lib/dualroot/stage/capture.json
    login_user: "{{ ansible_user }}"
    extra_paths:
      - /etc/openvpn

- name: See what would be carried over, and what stands in the way
  dualroot.migrate.host_capture:
    renderer: networkd
  register: captured
"""

RETURN = r"""
capture:
  description: The document without its secrets; keys by their fingerprint, files by their size.
  returned: success
  type: dict
findings:
  description:
    - What was noticed, each with C(id), C(severity) (V(refuse), V(warn) or V(info)), C(phase), C(what),
      C(why) and C(how).
  returned: success
  type: list
  elements: dict
dest:
  description: The file with the whole document; empty where none was asked for.
  returned: success
  type: str
fault:
  description: Why the host cannot be captured, as C(id), C(phase), C(what), C(why), C(how).
  returned: failure
  type: dict
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.ansible_module import run_module
from ..module_utils.capture import document, network
from ..module_utils.capture.finding import fault_of
from ..module_utils.capture.redact import redact
from ..module_utils.capture.write import Writer
from ..module_utils.faults import capture as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.runner import CommandRunner


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path"},
            "extra_paths": {"type": "list", "elements": "str", "default": []},
            "extra_paths_limit": {"type": "int", "default": 16777216},
            "login_user": {"type": "str", "default": ""},
            "renderer": {"type": "str", "choices": ["networkd", "ifupdown"]},
        },
        supports_check_mode=True,
    )
    run_module(module, lambda: capture(module, CommandRunner(), Path("/")))


def capture(module: Any, runner: Any, root: Path) -> dict[str, Any]:
    """Read, judge, write; returns the module's result."""
    try:
        wanted = document.read(root, runner, module.params)
    except PermissionError as error:
        raise Fault(kinds.NOT_ROOT, path=error.filename) from error
    if module.params["renderer"]:
        for problem in network.render_problems(wanted["network"], module.params["renderer"]):
            if problem not in wanted["findings"]:
                wanted["findings"].append(problem)
    refusal = next((one for one in wanted["findings"] if one["severity"] == "refuse"), None)
    if refusal is not None and module.params["dest"]:
        raise fault_of(refusal)
    if module.params["dest"]:
        # Now, and not when stage two reads it: the old system is still running.
        document.check(wanted, module.params["dest"])
    after = redact(wanted)
    before, changed = write(module, wanted, root)
    result: dict[str, Any] = {
        "changed": changed,
        "capture": after,
        "findings": wanted["findings"],
        "dest": module.params["dest"] or "",
    }
    if module._diff:
        result["diff"] = {"before": before, "after": after}
    return result


def write(module: Any, wanted: dict[str, Any], root: Path) -> tuple[dict[str, Any], bool]:
    """Write the document where that is asked for; returns what was there, redacted, and if it differs."""
    dest = module.params["dest"]
    if not dest:
        return {}, False
    try:
        found = document.load(root / dest.lstrip("/"))
    except Fault:
        found = {}
    before = redact(found) if found else {}
    if module.check_mode:
        return before, found != wanted
    writer = Writer(root)
    writer.folder(str(Path(dest).parent), mode=0o700, keep=True)
    return before, writer.file(dest, document.dump(wanted), mode=0o600)


if __name__ == "__main__":
    main()
