# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old root stays where it begins until commit, and the layout is laid around it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import table
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import codec, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept import Kept
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept_old import OldRoot
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import Layout, ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.ranges import allowed

from tests.support import layouts

MIB = 1 << 20
GIB = 1 << 30
DISK = resolve.DiskGeometry(8 * GIB)
FULL = OldRoot(1, MIB, 8 * GIB - MIB, 2 * GIB, True)


def shipped(name: str = "va") -> Layout:
    return load(layouts.document(name))


def keeping(old: OldRoot = FULL, disk: resolve.DiskGeometry = DISK, esp: Kept | None = None) -> ResolvedLayout:
    return resolve.resolve(shipped(), disk, "seed", esp, old)


def places(layout: ResolvedLayout) -> dict[str, tuple[int, int, int]]:
    """Return number, start and end of each partition; the latter in MiB."""
    per = MIB // layout.sector_bytes
    return {
        part.id: (part.number, part.start_lba // per, (part.start_lba + part.sectors) // per)
        for part in (*layout.partitions, *layout.until_commit)
    }


def test_a_root_that_fills_the_disk_ends_where_the_new_system_begins() -> None:
    assert places(keeping()) == {
        "bios": (2, 3069, 3071),
        "dispatch": (3, 3071, 4095),
        "va": (4, 4095, 8191),
        "vb": (5, 1, 3069),
        "old_root": (1, 1, 3069),
    }


def test_slot_b_has_the_size_that_it_has_without() -> None:
    usual = resolve.resolve(shipped(), DISK, "seed")
    assert {part.id: part.sectors for part in keeping().partitions} == {
        part.id: part.sectors for part in usual.partitions
    }


def test_the_tables_of_both_moments() -> None:
    found = keeping()
    now = {entry.number: entry.name for entry in table.target(found, "convert").entries}
    later = {entry.number: entry.name for entry in table.target(found, "commit").entries}
    assert now == {1: "old root", 2: "bios", 3: "dispatch", 4: "VA"}
    assert later == {2: "bios", 3: "dispatch", 4: "VA", 5: "VB"}


def test_nothing_made_at_convert_touches_it() -> None:
    for old in (FULL, replace(FULL, start=2 * MIB), replace(FULL, start=63 * 512, length=8 * GIB - 63 * 512)):
        found = keeping(old)
        (kept,) = found.until_commit
        assert kept.start_lba * 512 == old.start
        for part in found.partitions_at("convert"):
            if part is not kept:
                assert part.last_lba < kept.start_lba or part.start_lba > kept.last_lba
        assert ResolvedLayout.from_document(found.to_document()) == found


def test_a_lifeboat_may_lie_in_it_and_in_nothing_that_is_written() -> None:
    found = keeping()
    old = found.until_commit[0]
    assert any(one.start >= old.start_lba * 512 for one in allowed(found))
    for part in found.partitions:
        if part.at == "convert":
            start, end = part.start_lba * 512, (part.last_lba + 1) * 512
            assert all(one.end <= start or one.start >= end for one in allowed(found)), part.id


def test_a_disk_with_room_for_both_leaves_its_size_alone() -> None:
    found = keeping(replace(FULL, length=8 * GIB), resolve.DiskGeometry(40 * GIB))
    assert found.until_commit[0].sectors * 512 == 8 * GIB
    assert found.partition("vb").sectors * 512 > 8 * GIB


def test_what_fits_before_the_root_lies_there() -> None:
    found = keeping(replace(FULL, start=1200 * MIB, length=6 * GIB, number=3))
    assert places(found)["bios"] == (1, 1, 3)
    assert places(found)["dispatch"] == (2, 3, 1027)
    assert found.until_commit[0].number == 3


def test_an_esp_stays_too() -> None:
    document = layouts.document("va")
    document["partitions"].insert(1, {"id": "esp", "type": "esp", "size": "512 MiB", "name": "esp"})
    esp = Kept(1, MIB, 512 * MIB, "117FB78B-1752-4435-8183-3190600910B6", "8FDA-A740", "OLD")
    old = OldRoot(2, 513 * MIB, 8 * GIB - 514 * MIB, 2 * GIB, True, "0" * 8 + "-1111-2222-3333-" + "4" * 12)
    found = resolve.resolve(load(document), DISK, "seed", esp, old)
    assert (places(found)["esp"], places(found)["old_root"][:2]) == ((1, 1, 513), (2, 513))
    assert found.until_commit[0].uuid == old.partuuid
    assert ResolvedLayout.from_document(found.to_document()) == found


@pytest.mark.parametrize(
    ("old", "fault", "words"),
    [
        (replace(FULL, shrinkable=False), "layout.no_room_beside_old", "cannot be made smaller"),
        (replace(FULL, least=4 * GIB), "layout.no_room_beside_old", "The old root needs 4 GiB"),
        (replace(FULL, start=4 * GIB, length=4 * GIB), "layout.no_room_beside_old", "vb"),
    ],
)
def test_no_room(old: OldRoot, fault: str, words: str) -> None:
    with pytest.raises(Fault) as raised:
        keeping(old)
    assert raised.value.kind.id == fault
    assert words in raised.value.what


def test_a_layout_without_a_place_for_it() -> None:
    with pytest.raises(Fault) as raised:
        resolve.resolve(shipped("dual"), DISK, "seed", None, FULL)
    assert raised.value.kind.id == "layout.old_not_beside"
    document = layouts.document("va")
    document["partitions"][2]["size"], document["partitions"][3]["size"] = "rest", "3 GiB"
    with pytest.raises(Fault, match="does not take the rest"):
        resolve.resolve(load(document), DISK, "seed", None, FULL)


def test_what_stays_may_not_lie_on_what_is_made_before_commit() -> None:
    found = keeping()
    (old,) = found.until_commit
    wrong = replace(found, until_commit=(replace(old, sectors=found.partition("bios").start_lba),))
    with pytest.raises(Fault, match="overlap"):
        ResolvedLayout.from_document(wrong.to_document())


def test_a_document_of_before_has_no_such_key() -> None:
    document = resolve.resolve(shipped(), DISK, "seed").to_document()
    del document["until_commit"]
    assert ResolvedLayout.from_document(document).until_commit == ()
    with pytest.raises(codec.ShapeError):
        codec.from_document(ResolvedLayout, {**document, "until": []})


def test_the_ordinary_layout_knows_nothing_of_it() -> None:
    assert resolve.resolve(shipped(), DISK, "seed").until_commit == ()
