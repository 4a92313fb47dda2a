# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What GRUB's environment block says of a run whose stage two was never seen."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.plugin_utils import one_shot_reason

BLOCK = "# GRUB Environment Block\n{}" + "#" * 900
RHEL = BLOCK.format("saved_entry=CentOS Linux (3.10.0)\nnext_entry={}\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BLOCK.format("next_entry=dualroot-convert\n"), "convert.one_shot_ignored"),
        (BLOCK.format("next_entry=dualroot-convert\n").replace("\n", "\r\n"), "convert.one_shot_ignored"),
        (RHEL.format("dualroot-convert"), "convert.one_shot_ignored"),
        (BLOCK.format("next_entry=\n"), "convert.ended_early"),
        (RHEL.format(""), "convert.ended_early"),
        (BLOCK.format(""), "convert.ended_early"),
        ("", None),
        ("cat: denied\n", None),
    ],
    ids=[
        "standing",
        "a terminal",
        "RHEL, standing",
        "cleared",
        "RHEL, cleared",
        "nothing in it",
        "no block",
        "refused",
    ],
)
def test_the_block_tells_who_ended_it(text: str, fault: str | None) -> None:
    found = one_shot_reason.read(text)
    assert (found.id if found else None) == fault
