# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an address holds of a login is never shown."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.address import is_address, shown
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle.source import open_source
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/srv/bundle@home", "/srv/bundle@home"),
        ("http://bundles.example/gateway", "http://bundles.example/gateway"),
        ("https://me:hunter2@bundles.example:8443/gateway?token=hunter2", "https://bundles.example:8443/gateway"),
    ],
)
def test_shown(source: str, expected: str) -> None:
    assert shown(source) == expected
    assert is_address(source) == source.startswith("http")


def test_a_bundle_that_cannot_be_reached_keeps_the_login_to_itself() -> None:
    # Nothing listens on the discard port of the loopback.
    with pytest.raises(Fault) as caught:
        open_source("http://me:hunter2@127.0.0.1:9/gateway").read("manifest.json")
    assert "hunter2" not in str(caught.value.record())
