# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pictures of a disk before and after, and the consent."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import consent
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.text import show_findings, show_prediction

from . import documents as docs


def test_before_and_after() -> None:
    facts = docs.facts()
    facts["disks"][0]["partitions"][0]["sectors"] = 12580864
    facts["disks"][0]["partitions"].append(docs.partition(fstype="swap"))
    result = judge(facts, docs.manifest(), docs.layout(), docs.options())
    assert result["picture"]["text"].splitlines() == [
        "before  /dev/vda  8 GiB  dos",
        "  [" + "S" * 48 + "w" * 8 + "." * 8 + "]",
        "   S vda1           6.0 GiB  ext4 /",
        "   w vda2             1 GiB  swap",
        "   . free             1 GiB",
        "after   /dev/vda  8 GiB  gpt",
        "  [b" + "b" * 8 + "L" * 55 + "]",
        "   b bios             2 MiB  BIOS boot",
        "   b dispatch         1 GiB  ext4 /boot/dispatch",
        "   L pv-a             4 GiB  volume group VA",
        "       image          256 MiB  ext4 /image",
        "       root           3.7 GiB  ext4 / slot a",
        "   L pv-b           3.0 GiB  volume group VB (made by commit)",
        "       root           3.0 GiB  ext4 / slot b (made by commit)",
    ]


def test_a_disk_in_doubt_has_no_picture() -> None:
    facts = docs.facts()
    facts["system_disk"] = None
    assert judge(facts, docs.manifest(), docs.layout(), docs.options())["picture"] == {
        "before": None,
        "after": None,
        "text": "",
    }


def test_findings_and_prediction_as_lines() -> None:
    result = judge(docs.facts(), docs.manifest(), docs.layout(), docs.options())
    lines = show_findings(result["findings"])
    assert lines[0] == "warn   preflight.no_lifeboat: There will be no lifeboat"
    assert lines[1].startswith("       why: ") and lines[2].startswith("       how: ")
    assert show_findings([]) == ["nothing was found that stands in the way"]
    assert show_prediction(result["predicted"])[0] == "memory of stage two: 480 MiB at its peak, 544 MiB needed"


def test_a_lifeboat_is_shown_with_its_place() -> None:
    result = judge(docs.facts(), docs.manifest(), docs.layout(), docs.options(lifeboat=""))
    assert "   L pv-b           3.0 GiB  volume group VB (made by commit) (room of the lifeboat until commit)" in (
        result["picture"]["text"].splitlines()
    )
    assert result["picture"]["text"].splitlines()[-1] == (
        "lifeboat 245 MiB, in what the old system and the new layout leave alone: "
        "1.7 GiB in free blocks of the old root"
    )
    shown = show_prediction(result["predicted"])
    assert shown[0] == "memory of stage two: 242 MiB at its peak, 372 MiB needed, the payload stays in the lifeboat"
    facts = {**docs.facts(), "lifeboat_areas": []}
    result = judge(facts, docs.manifest(), docs.layout(), docs.options(lifeboat="auto"))
    assert result["picture"]["text"].splitlines()[-1] == "lifeboat 245 MiB, and 245 MiB are missing: nowhere"


def test_a_rehearsal_is_named_with_what_it_measured() -> None:
    rehearsal = {"run_id": "RUN", "phases": [{"name": "attach", "seconds": 9}]}
    result = judge(docs.facts(), docs.manifest(), docs.layout(), docs.options(rehearsal=rehearsal))
    assert show_prediction(result["predicted"])[2] == "calibrated by the rehearsal RUN: attach"


@pytest.mark.parametrize(("said", "agreed"), [(2, True), ("2", True), (" 2 ", True), ("", False), (None, False)])
def test_consent(said: object, agreed: bool) -> None:
    assert consent.check(said, ["a", "b"]) is agreed


@pytest.mark.parametrize("said", [1, "3", "two", True, "2.0", False])
def test_a_wrong_consent_stops_the_run(said: object) -> None:
    with pytest.raises(Fault) as raised:
        consent.check(said, ["a", "b"])
    assert raised.value.id == "plan.consent_wrong"


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.free", "host_pinned", "debug"])
def test_other_strategies_do_not_stop_a_rollout(strategy: str) -> None:
    with pytest.raises(Fault) as raised:
        consent.check(2, ["a", "b"], strategy)
    assert raised.value.id == "plan.strategy_unsafe"
