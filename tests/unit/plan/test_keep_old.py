# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which way a host goes with its old system, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge

from . import documents as docs

MIB, GIB = docs.MIB, docs.GIB


def judged(facts: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    facts = facts or host()
    return judge(facts, docs.manifest(), docs.layout(), docs.options(keep_old="auto", **options))


def host(used: int = 1200 * MIB) -> dict[str, Any]:
    facts = docs.facts()
    facts["root"].update(size_bytes=8 * GIB, free_bytes=8 * GIB - used)
    # What is free lies behind what is used.
    facts["lifeboat_areas"] = [{"kind": "file", "start": 1400 * MIB, "length": 6700 * MIB, "node": "/dev/vda1"}]
    return facts


def finding(result: dict[str, Any], name: str) -> dict[str, str]:
    found = [one for one in result["findings"] if one["id"] == f"preflight.{name}"]
    assert found, [one["id"] for one in result["findings"]]
    return found[0]


def test_a_root_that_fills_the_disk_is_made_smaller() -> None:
    result = judged(lifeboat="required")
    kept = result["plan"]["keep_old"]
    assert (kept["number"], kept["start"], kept["was"]) == (1, MIB, 16775168 * 512)
    assert kept["length"] < kept["was"] and kept["uuid"] == docs.ROOT_UUID
    assert kept["kernel"] == "/boot/vmlinuz-5.10.0-32-cloud-amd64"
    assert kept["arguments"] == [f"root=UUID={docs.ROOT_UUID}", "ro", "console=tty0", "console=ttyS0,115200"]
    (old,) = result["plan"]["layout"]["until_commit"]
    assert old["sectors"] * 512 == kept["length"]
    assert "made smaller, from 8.0 GiB" in finding(result, "old_kept")["what"]
    assert result["picture"]["text"].count("(old root until commit)") == 1
    areas = result["picture"]["after"]["areas"]
    assert [area["label"] for area in areas if area["kind"] != "free"][0] == "pv-b"
    assert all(one["start"] + one["bytes"] <= other["start"] for one, other in zip(areas, areas[1:]))
    # The lifeboat lies in what stays of it.
    assert result["plan"]["lifeboat"]["used"]
    assert all(start + length <= MIB + kept["length"] for start, length in result["plan"]["lifeboat"]["allowed"][:1])
    assert document.load(result["plan"]) == result["plan"]


def test_nothing_of_it_where_nobody_asked() -> None:
    result = judge(host(), docs.manifest(), docs.layout(), docs.options())
    assert result["plan"]["keep_old"] is None
    assert result["plan"]["layout"]["until_commit"] == []
    assert not any("old" in one["id"] for one in result["findings"])


def test_a_disk_with_room_for_both() -> None:
    facts = host()
    facts["disks"][0]["size_bytes"] = 40 * GIB
    result = judged(facts)
    assert result["plan"]["keep_old"]["length"] == result["plan"]["keep_old"]["was"]
    assert "it stays as it is, with 8.0 GiB" in finding(result, "old_kept")["what"]


def test_a_swap_partition_that_goes_is_not_waited_for() -> None:
    facts = host()
    part = facts["disks"][0]["partitions"][0]
    part["sectors"] = 7 * GIB // 512
    swap = docs.partition(fstype="swap", mounts=["swap"])
    swap.update(start_lba=part["start_lba"] + part["sectors"], sectors=1000000)
    facts["disks"][0]["partitions"].append(swap)
    assert judged(facts)["plan"]["keep_old"]["arguments"][-2:] == ["systemd.swap=0", "noresume"]


def _root(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda facts: facts["root"].update(changes)


def _old(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda facts: facts["old_system"].update(changes)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_root(fstype="xfs"), "cannot be made smaller"),
        (lambda facts: facts.update(firmware="uefi"), "started by UEFI"),
        (_old(doubt="the kernel cannot be found"), "the kernel cannot be found"),
        (_old(arguments=["root=PARTUUID=1-01"]), "PARTUUID=1-01, which changes"),
        (_old(fstab=[{"spec": "PARTUUID=1-01", "target": "/", "options": ""}]), "which changes"),
        (_old(arguments=["quiet;x"]), "characters that a boot loader would change"),
        (_root(free_bytes=3 * GIB), "the old root needs"),
        (lambda facts: facts.pop("old_system"), "nothing is known"),
    ],
)
def test_it_goes_on_without_and_says_why(spoil: Callable[[dict[str, Any]], None], words: str) -> None:
    facts = host()
    spoil(facts)
    result = judged(facts)
    assert words in finding(result, "old_not_kept")["what"]
    assert finding(result, "old_not_kept")["severity"] == "info"
    assert (result["plan"] or {}).get("keep_old") is None
    required = judge(facts, docs.manifest(), docs.layout(), docs.options(keep_old="required"))
    assert (required["verdict"], finding(required, "keep_old_impossible")["severity"]) == ("refuse", "refuse")


def test_a_lifeboat_that_would_find_no_room_beside_it_goes_first() -> None:
    facts = host()
    # All that is free lies where the new system will be.
    facts["lifeboat_areas"] = [{"kind": "file", "start": 5200 * MIB, "length": 2900 * MIB, "node": "/dev/vda1"}]
    result = judged(facts, lifeboat="required")
    assert result["plan"]["keep_old"] is None and result["plan"]["lifeboat"]["used"]
    assert "no room beside it" in finding(result, "old_not_kept")["what"]


def test_what_a_failed_trial_left_is_no_loss() -> None:
    facts, options = host(), docs.options(keep_old="auto")
    facts["old_system"]["run_id"] = "20260101T000000Z-aaaaaa"
    disk = facts["disks"][0]
    disk.update(table="gpt", table_id="x")
    disk["partitions"][0].update(
        uuid="5" * 8 + "-1111-2222-3333-" + "4" * 12, type="0fc63daf-8483-4772-8e79-3d69d8477de4"
    )
    disk["partitions"][0]["sectors"] = 3 * GIB // 512
    (uuid,) = resolve.partition_uuids(f"20260101T000000Z-aaaaaa/{options['host']}", ["pv_a"])
    ours = docs.partition(fstype="LVM2_member", holders=["lvm: VA"])
    ours.update(uuid=uuid, start_lba=4 * GIB // 512, sectors=1 * GIB // 512)
    disk["partitions"].append(ours)
    result = judge(facts, docs.manifest(), docs.layout(), options)
    assert result["verdict"] == "proceed"
    assert result["plan"]["layout"]["until_commit"][0]["uuid"] == disk["partitions"][0]["uuid"].upper()
    # Somebody else's volume group is still one.
    ours["uuid"] = "6" * 8 + uuid[8:]
    assert judge(facts, docs.manifest(), docs.layout(), options)["verdict"] == "refuse"
