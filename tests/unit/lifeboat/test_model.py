# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The description of a lifeboat, and where its parts are placed."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import model
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Lifeboat, Part

MIB = 1 << 20
DIGEST = "ab" * 32
SIZES = {
    "kernel": 8 * MIB + 1,
    "initrd": 50 * MIB,
    "host": 300_000,
    "payload": 200 * MIB,
    "journal": model.JOURNAL_BYTES,
    "core": model.CORE_BYTES,
}


def lifeboat():
    places = model.place(SIZES, [Extent(100 * MIB, 100 * MIB), Extent(300 * MIB, 300 * MIB)])
    digests = {"kernel": DIGEST, "initrd": DIGEST, "payload": DIGEST}
    parts = {name: Part(name, size, digests.get(name, ""), places[name]) for name, size in SIZES.items()}
    return Lifeboat("run-1", DIGEST, 4 << 30, 512, parts)


def test_a_description_survives_the_way_through_json():
    boat = lifeboat()
    assert Lifeboat.from_document(json.loads(json.dumps(boat.to_document()))) == boat


def test_every_part_has_room_and_none_lies_on_another():
    boat = lifeboat()
    assert set(boat.parts) == set(model.PARTS)
    extents = sorted(one for part in boat.parts.values() for one in part.extents)
    assert all(before.end <= after.start for before, after in zip(extents, extents[1:]))
    for part in boat.parts.values():
        assert sum(one.length for one in part.extents) >= part.size
        assert all(one.start % 4096 == 0 and one.length % 4096 == 0 for one in part.extents)


def test_the_first_areas_are_taken_first_and_only_the_payload_is_in_pieces():
    places = model.place(SIZES, [Extent(100 * MIB, 100 * MIB), Extent(300 * MIB, 300 * MIB)])
    assert {name: len(extents) for name, extents in places.items()} == {
        **dict.fromkeys(SIZES, 1),
    }
    assert places["core"] == (Extent(100 * MIB, MIB),)
    places = model.place(SIZES, [Extent(100 * MIB, 100 * MIB), Extent(300 * MIB, 180 * MIB)])
    assert len(places["payload"]) == 2
    assert sum(one.length for one in places["payload"]) == 200 * MIB


def test_what_the_boot_loader_reads_is_split_only_where_it_must_be_and_then_largest_first():
    areas = [Extent(0, 2 * MIB), Extent(4 * MIB, 3 * MIB), Extent(10 * MIB, 40 * MIB)]
    places = model.place({"initrd": 42 * MIB}, areas)
    assert places["initrd"] == (Extent(4 * MIB, 2 * MIB), Extent(10 * MIB, 40 * MIB))


def test_areas_that_are_not_whole_blocks_are_cut_to_them():
    places = model.place({"core": MIB}, [Extent(1000, MIB), Extent(5 * MIB + 512, 2 * MIB)])
    assert places["core"] == (Extent(5 * MIB + 4096, MIB),)


@pytest.mark.parametrize(
    ("sizes", "areas", "part", "missing"),
    [
        ({"core": MIB}, [], "core", "1 MiB"),
        ({"core": MIB, "payload": 9 * MIB}, [Extent(MIB, 5 * MIB)], "payload", "5 MiB"),
        ({"kernel": 9 * MIB}, [Extent(MIB, 8 * MIB), Extent(10 * MIB, 5 * MIB)], "kernel", "1 MiB"),
        ({"core": MIB}, [Extent(MIB, MIB // 2), Extent(4 * MIB, MIB // 2)], "core", "512 KiB"),
    ],
)
def test_too_little_room_says_how_much_is_missing(sizes, areas, part, missing):
    with pytest.raises(Fault) as caught:
        model.place(sizes, areas)
    assert caught.value.id == "lifeboat.no_room"
    assert f"Part {part} " in caught.value.what
    assert missing in caught.value.what


def test_subtracting_and_intersecting():
    assert model.subtract([Extent(0, 10), Extent(20, 10)], [Extent(3, 2), Extent(8, 14)]) == [
        Extent(0, 3),
        Extent(5, 3),
        Extent(22, 8),
    ]
    assert model.intersect([Extent(20, 10), Extent(0, 10)], [Extent(5, 18)]) == [Extent(20, 3), Extent(5, 5)]


def test_sizes_come_from_a_plan_or_a_manifest():
    document = {"environment": {"kernel": {"size": 1}, "initrd": {"size": 2}}, "payload": {"size": 4097}}
    sizes = model.sizes_of(document)
    assert set(sizes) == set(model.PARTS)
    assert model.needed_bytes(sizes) == 4096 + 4096 + 2 * MIB + 8192 + 4 * MIB + MIB


def _changed(path, value):
    document = copy.deepcopy(lifeboat().to_document())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, ".: a mapping is needed"),
        ([], ".: a mapping is needed"),
        ({}, ".parts: is missing"),
        (_changed(["version"], 2), ".version: 1 is needed"),
        (_changed(["other"], 2), ".other: unknown"),
        (_changed(["run_id"], "../x"), ".run_id: does not have its form"),
        (_changed(["plan_digest"], 5), ".plan_digest: does not have its form"),
        (_changed(["disk_bytes"], True), ".disk_bytes: a positive whole number"),
        (_changed(["disk_bytes"], 300 * MIB), ".parts.payload.extents[0]: past the end of the disk"),
        (_changed(["sector_bytes"], 513), ".sector_bytes: 512 or 4096"),
        (_changed(["parts", "rudder"], {}), ".parts.rudder: unknown"),
        (_changed(["parts", "core"], None), ".parts.core: a mapping is needed"),
        (_changed(["parts", "core", "size"], -1), ".parts.core.size: a positive whole number"),
        (_changed(["parts", "core", "size"], 2 * MIB), ".parts.core.extents: together smaller"),
        (_changed(["parts", "kernel", "sha256"], ""), ".parts.kernel.sha256: does not have its form"),
        (_changed(["parts", "kernel", "extents"], []), ".parts.kernel.extents: a list of 1 to"),
        (_changed(["parts", "kernel", "extents"], [[4096]]), ".parts.kernel.extents[0]: a pair"),
        (_changed(["parts", "kernel", "extents"], [[4096, 5]]), ".parts.kernel.extents[0]: multiples of 4096"),
        (_changed(["parts", "kernel", "extents"], [["0", 4096]]), ".parts.kernel.extents[0][0]: a positive"),
        (_changed(["parts", "journal", "extents"], [[100 * MIB, 9 * MIB]]), ": overlaps with "),
        (_changed(["parts", "core", "extents"], [[4096, MIB], [8 * MIB, MIB]]), ".parts.core.extents: exactly one"),
        (_changed(["parts", "kernel", "extents"], [[4096, MIB], [2 * MIB, 9 * MIB]]), ".parts.kernel.extents: exactly"),
    ],
)
def test_a_wrong_description_is_refused_with_the_path(document, said):
    with pytest.raises(Fault) as caught:
        Lifeboat.from_document(document)
    assert caught.value.id == "lifeboat.invalid"
    assert said in caught.value.what
