# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the new system left behind, in words."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.plugin_utils import trial_reason

from tests.unit.stage_two.stage import plan

LOG = "uptime=31 slot=a left=2 started\nuptime=900 slot=a reason=no sshd listens\nuptime=7 slot=b reason=other\n"


def test_it_looks_at_the_dispatch_partition_and_leaves_it() -> None:
    document = plan()
    text = trial_reason.command(document)
    uuid = next(part["uuid"] for part in document["layout"]["partitions"] if part["id"] == "dispatch")
    assert f"/dev/disk/by-partuuid/{uuid.lower()};" in text
    assert f"runs/{document['run_id']}/trial.log" in text
    assert "ro,noload" in text and "umount" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOG, "Its tries ended by: no sshd listens (after 900 s)."),
        (LOG.replace("\n", "\r\n"), "Its tries ended by: no sshd listens (after 900 s)."),
        ("dr_a=trying\r\ndr_tries=0\r\n", "none of them came as far"),
        ("dr_a=bad\ndr_tries=0\n", "It was marked bad."),
        ("dr_a=trying\ndr_tries=0\n", "none of them came as far"),
        ("dr_a=trying\ndr_tries=2\n", ""),
        ("", ""),
    ],
)
def test_the_reason(text: str, words: str) -> None:
    found = trial_reason.read(text, "a")
    assert words in found if words else found == ""
