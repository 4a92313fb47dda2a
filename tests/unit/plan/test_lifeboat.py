# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Room for a lifeboat: what can be promised, what the plan says of it, and what is said where it is missing."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import model
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge

from . import documents as docs

MIB = docs.MIB
#: The parts of the bundle in ``documents``: kernel, initrd, host, payload, journal, core.
NEEDED = (8 + 50 + 2 + 180 + 4 + 1) * MIB
#: What is staged on the root beside it: payload, kernel and initrd, and evidence twice.
STAGED = (180 + 16 + 58 + 16) * MIB
#: The new layout leaves its last partition alone, which is made at commit.
FIRST, LAST = 5124 * MIB, 8190 * MIB


def judged(facts: dict[str, Any], **options: Any) -> dict[str, Any]:
    return judge(facts, docs.manifest(), docs.layout(), {**docs.options(), "lifeboat": "", **options})


def area(kind: str, start: int, length: int, node: str = "/dev/vda1") -> dict[str, Any]:
    return {"kind": kind, "start": start * MIB, "length": length * MIB, "node": node}


def host(*areas: dict[str, Any], budget: int = 5600, held: int = 0, doubt: str = "") -> dict[str, Any]:
    return {
        **docs.facts(),
        "lifeboat_areas": list(areas),
        "lifeboat_budget_bytes": budget * MIB,
        "lifeboat_held_bytes": held * MIB,
        "lifeboat_doubt": doubt,
    }


def finding(result: dict[str, Any], name: str) -> dict[str, str]:
    return next(one for one in result["findings"] if one["id"] == f"preflight.{name}")


def test_a_lifeboat_is_the_default_and_stands_in_the_plan() -> None:
    result = judged(docs.facts())
    assert result["verdict"] == "proceed"
    assert result["plan"]["lifeboat"] == {
        "wish": "required",
        "used": True,
        "needed_bytes": NEEDED,
        "allowed": [[FIRST, LAST - FIRST]],
        "gaps": [],
        "swaps": [],
    }
    assert document.load(result["plan"]) == result["plan"]
    said = finding(result, "lifeboat")
    assert said["severity"] == "info"
    assert "245 MiB" in said["what"] and "free blocks of the old root" in said["what"]
    assert model.needed_bytes(model.sizes_of(result["plan"])) == NEEDED
    assert result["predicted"]["peak_ram_bytes"] < 400 * MIB


def test_gaps_and_swap_count_where_the_new_layout_leaves_them_alone() -> None:
    result = judged(host(area("gap", 4000, 1300, ""), area("swap", 8000, 191, "/dev/vda2"), budget=0))
    plan = result["plan"]["lifeboat"]
    assert plan["gaps"] == [[FIRST, 5300 * MIB - FIRST]]
    assert plan["swaps"] == [[8000 * MIB, 190 * MIB]]
    assert plan["used"]


def test_what_must_wait_for_stage_two_costs_time_there() -> None:
    beside = judged(host(area("gap", 6000, 300, ""), area("swap", 7000, 300, "/dev/vda2")))
    waiting = judged(host(area("gap", 6000, 100, ""), area("swap", 7000, 300, "/dev/vda2"), budget=0))
    assert waiting["predicted"]["phases"]["load"] > beside["predicted"]["phases"]["load"]


@pytest.mark.parametrize(
    ("length", "budget", "held", "said"),
    [
        (NEEDED + STAGED, 5600 * MIB, 0, "lifeboat"),
        # What is staged first may lie in the very place.
        (NEEDED + STAGED - 4 * MIB, 5600 * MIB, 0, "lifeboat_tight"),
        (NEEDED, 5600 * MIB, 0, "lifeboat_tight"),
        (NEEDED - MIB, 5600 * MIB, 0, "lifeboat_no_room"),
        # So may what has to stay free for the old system.
        (NEEDED + STAGED + 100 * MIB, 5600 * MIB, 100 * MIB, "lifeboat"),
        (NEEDED + STAGED + 99 * MIB, 5600 * MIB, 100 * MIB, "lifeboat_tight"),
        # The file must not crowd the old system.
        (2048 * MIB, NEEDED + STAGED, 0, "lifeboat"),
        (2048 * MIB, NEEDED + STAGED - MIB, 0, "lifeboat_no_room"),
    ],
)
def test_what_is_certain_is_told_from_what_is_hoped_for(length: int, budget: int, held: int, said: str) -> None:
    found = area("file", 6000, 0)
    found["length"] = length
    facts = host(found)
    facts.update(lifeboat_budget_bytes=budget, lifeboat_held_bytes=held)
    result = judged(facts)
    severity = {"lifeboat": "info", "lifeboat_tight": "warn", "lifeboat_no_room": "refuse"}[said]
    assert finding(result, said)["severity"] == severity
    assert (result["verdict"] == "proceed") is (severity != "refuse")
    assert severity == "refuse" or result["plan"]["lifeboat"]["used"]
    careful = judged(facts, lifeboat="auto")
    assert careful["plan"]["lifeboat"]["used"] is (said == "lifeboat")


def test_no_room_says_how_much_is_missing_and_what_would_make_room() -> None:
    said = finding(judged(host(area("file", 6000, 140), area("gap", 5500, 100, ""))), "lifeboat_no_room")
    # All of the 140 MiB of the root may be staged over.
    assert "it needs 245 MiB, 100 MiB can be promised, 145 MiB are missing" in said["what"]
    assert "leaves 3.0 GiB of the disk alone" in said["why"]
    assert "free at least 145 MiB on the old root" in said["how"]
    assert "dualroot_lifeboat: none" in said["how"]


def test_a_root_that_cannot_hold_a_file_is_named_and_freeing_it_is_no_remedy() -> None:
    said = finding(judged(host(doubt="the root was made as ext3 and has no extents")), "lifeboat_no_room")
    assert "the root was made as ext3" in said["why"]
    assert "old logs" not in said["how"]
    assert "unpartitioned" in said["how"]


def test_a_layout_that_leaves_nothing_alone_is_the_first_remedy() -> None:
    layout = docs.layout()
    for part in (*layout["partitions"], *layout["volume_groups"], *layout["file_systems"]):
        part.pop("at", None)
    result = judge(docs.facts(), docs.manifest(), layout, {**docs.options(), "lifeboat": "required"})
    said = finding(result, "lifeboat_no_room")
    assert "leaves 0 B of the disk alone" in said["why"]
    assert "dualroot_layout" in said["how"]


def test_the_kernel_needs_one_piece() -> None:
    result = judged(host(*(area("gap", 5200 + 10 * index, 8, "") for index in range(60)), budget=0))
    said = finding(result, "lifeboat_no_room")
    assert "one piece of 9 MiB; the largest has 8 MiB" in said["why"]
    assert "1 MiB are missing" in said["what"]


def test_auto_goes_without_and_counts_the_payload_in_memory() -> None:
    result = judged(host(), lifeboat="auto")
    assert result["verdict"] == "proceed"
    assert finding(result, "lifeboat_left_out")["severity"] == "warn"
    assert result["plan"]["lifeboat"]["used"] is False
    assert result["plan"]["lifeboat"]["wish"] == "auto"
    assert result["predicted"]["peak_ram_bytes"] > 400 * MIB


def test_none_uses_no_room_even_where_there_is_some() -> None:
    result = judged(docs.facts(), lifeboat="none")
    assert result["plan"]["lifeboat"]["used"] is False
    assert finding(result, "no_lifeboat")["severity"] == "warn"


def test_a_rehearsal_takes_the_same_road() -> None:
    assert judged(docs.facts(), mode="rehearse")["plan"]["lifeboat"]["used"] is True


def test_a_small_host_with_a_payload_larger_than_its_memory() -> None:
    manifest = docs.manifest()
    manifest["payload"]["size"] = 1500 * MIB
    facts = docs.facts()
    facts["memory_bytes"] = 1 << 30
    facts["lifeboat_held_bytes"] = 0
    ours = judge(facts, manifest, docs.layout(), {**docs.options(), "lifeboat": ""})
    assert ours["verdict"] == "proceed"
    without = judge(facts, manifest, docs.layout(), docs.options())
    assert "preflight.memory_too_small" in [one["id"] for one in without["findings"]]
