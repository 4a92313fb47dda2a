# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of an update, as surveys and inventories give them."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.update.options import load


def test_texts_become_what_they_mean() -> None:
    found = load(
        {
            "run_id": "r",
            "host": "gw1",
            "trial_limit": "120",
            "allow_downgrade": "yes",
            "carry_paths": ["/srv/a"],
            "kernel_arguments": "console=ttyS0 quiet",
            "bundle_layout": "",
        }
    )
    assert (found.trial_limit, found.allow_downgrade, found.carry_paths) == (120, True, ("/srv/a",))
    assert found.kernel_arguments == ("console=ttyS0", "quiet")


def test_all_problems_at_once() -> None:
    with pytest.raises(Fault) as caught:
        load({"host": "", "trial_limit": 7, "allow_downgrade": "perhaps", "other": 1})
    said = caught.value.what
    for part in (
        "dualroot_run_id: missing",
        "dualroot_host: missing",
        "dualroot_trial_limit",
        "perhaps",
        "dualroot_other",
    ):
        assert part in said
