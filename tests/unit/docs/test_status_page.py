# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/status.md names what the command, the playbook and the records have."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import records
from ansible_collections.dualroot.migrate.plugins.module_utils.boot.slot_command import TEXT
from ansible_collections.dualroot.migrate.plugins.module_utils.report.status import SHAPE

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs/status.md").read_text(encoding="utf-8")


def test_every_command_is_on_the_page() -> None:
    usage = re.findall(r"^ {7}dualroot-slot (\w+)", TEXT, re.MULTILINE)
    assert len(usage) >= 6
    for word in usage:
        assert f"`dualroot-slot {word}" in PAGE


def test_every_field_of_the_json_is_on_the_page() -> None:
    words = set(re.findall(r"`([a-z_]+)`", PAGE))
    shown = {name.rstrip("?") for name in SHAPE} - {"slots", "mode", "generation"}
    assert shown <= words
    assert set(records.EVENTS) <= words


def test_every_variable_of_the_playbook_is_on_the_page() -> None:
    texts = [
        (REPOSITORY / name).read_text(encoding="utf-8") for name in ("playbooks/status.yml", "roles/status/README.md")
    ]
    variables = set(re.findall(r"dualroot_\w+", "".join(texts))) - {"dualroot_status"}
    assert variables and all(f"| `{name}` |" in PAGE for name in variables)
