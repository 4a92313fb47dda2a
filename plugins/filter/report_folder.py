# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The folder of a host's evidence, for playbooks and roles: the same that the report writes to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..module_utils.report.files import host_folder

DOCUMENTATION = r"""
name: report_folder
short_description: Return the folder of a host's evidence of a run
version_added: 0.1.0
description:
  - Host names may hold what the name of a folder cannot. This gives the folder that M(dualroot.migrate.report)
    writes to, so that nothing of a host ends up elsewhere.
positional: run_id, host
options:
  _input:
    description: The folder for the reports of all runs.
    type: path
    required: true
  run_id:
    description: Name of the run.
    type: str
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
author:
  - dualroot.migrate authors (@dualroot)
"""

EXAMPLES = r"""
- name: Show where the evidence is
  ansible.builtin.debug:
    msg: "{{ dualroot_report_folder | dualroot.migrate.report_folder(dualroot_run_id, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: Path of the folder; it need not exist yet.
  type: path
"""


def report_folder(directory: str, run_id: str, host: str) -> str:
    """Return the path as text."""
    return str(host_folder(Path(directory).expanduser(), str(run_id), str(host)))


class FilterModule:
    """What ansible-core asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"report_folder": report_folder}
