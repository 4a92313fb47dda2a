# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sizes become sectors and extents once; what does not fit is named by how much."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve

from tests.support import layouts

MIB = 1 << 20
GIB = 1 << 30


def test_va_on_8_gib():
    resolved = layouts.resolved("va")
    assert [(part.start_lba, part.sectors) for part in resolved.partitions] == [
        (2048, 4096),
        (6144, 2097152),
        (2103296, 8388608),
        (10491904, 6283264),
    ]
    assert resolved.partitions[-1].last_lba < 8 * GIB // 512 - 33
    assert [(volume.name, volume.extents) for volume in resolved.volume_groups[0].volumes] == [
        ("root", 767),
        ("image", 128),
        ("data", 128),
    ]
    assert [volume.first for volume in resolved.volume_groups[0].volumes] == [0, 767, 895]
    assert [group.partition_extents for group in resolved.volume_groups] == [(1023,), (766,)]
    assert resolved.slots["a"].at == "convert"
    assert resolved.slots["b"].at == "commit"


@pytest.mark.parametrize("name", ["va", "dual"])
@pytest.mark.parametrize("sector_bytes", [512, 4096])
@pytest.mark.parametrize("size_bytes", [8 * GIB, 8 * GIB + 123 * 4096, 3 << 40])
def test_shipped_layouts_are_aligned_and_inside_the_disk(name, sector_bytes, size_bytes):
    resolved = layouts.resolved(name, size_bytes, sector_bytes)
    disk = DiskGeometry(size_bytes, sector_bytes)
    last = disk.first_usable_lba - 1
    for part in resolved.partitions:
        assert part.start_lba > last
        assert part.start_lba * sector_bytes % MIB == 0
        assert part.sectors * sector_bytes % MIB == 0
        last = part.last_lba
    assert last <= disk.last_usable_lba
    assert (disk.last_usable_lba - last) * sector_bytes < 2 * MIB
    for group in resolved.volume_groups:
        space = sum(resolved.partition(one).sectors for one in group.partitions) * sector_bytes - MIB
        used = sum(volume.extents for volume in group.volumes) * group.extent_bytes
        assert space - group.extent_bytes < used <= space


def test_gpt_limits_follow_the_sector_size():
    assert (DiskGeometry(8 * GIB).first_usable_lba, DiskGeometry(8 * GIB).last_usable_lba) == (34, 16777182)
    assert DiskGeometry(8 * GIB, 4096).first_usable_lba == 6
    assert DiskGeometry(8 * GIB, 4096).last_usable_lba == 2097146


def test_the_seed_decides_every_uuid():
    one, same = layouts.resolved("va"), layouts.resolved("va")
    other = resolve(load(layouts.document("va")), DiskGeometry(8 * GIB), "20250101T000000Z-fedcba")
    assert one == same
    assert one.disk_guid != other.disk_guid
    uuids = [one.disk_guid, *(part.uuid for part in one.partitions), *(fs.uuid for fs in one.file_systems)]
    assert len(set(uuids)) == len(uuids)
    assert not set(uuids) & {fs.uuid for fs in other.file_systems}


def test_fat_has_a_short_serial_number():
    esp = layouts.resolved("dual").file_system("esp")
    assert len(esp.uuid) == 9
    assert esp.uuid[4] == "-"


def test_round_trip_through_json():
    resolved = layouts.resolved("dual")
    assert ResolvedLayout.from_document(json.loads(json.dumps(resolved.to_document()))) == resolved


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d.pop("disk_guid"), "keys missing: ['disk_guid']"),
        (lambda d: d.update(extra=1), "unknown: ['extra']"),
        (lambda d: d["partitions"][1].update(sectors="9"), ".partitions[1].sectors: int is needed, not str"),
        (lambda d: d.update(partitions=3), ".partitions: a list is needed"),
        (lambda d: d.update(slots=[]), ".slots: a mapping is needed"),
    ],
)
def test_a_damaged_plan_is_named(change, place):
    document = layouts.resolved("va").to_document()
    change(document)
    with pytest.raises(Fault) as raised:
        ResolvedLayout.from_document(document)
    assert raised.value.id == "layout.unreadable"
    assert place in raised.value.what


def test_too_small_by_how_much():
    document = layouts.document("dual")
    with pytest.raises(Fault) as raised:
        resolve(load(document), DiskGeometry(5 * GIB), "run")
    assert raised.value.id == "layout.disk_too_small"
    needed = 4096 + 2 + 512 + 1024 + 2
    assert f"({(needed - 5120) * MIB} bytes)" in raised.value.what
    resolve(load(document), DiskGeometry(needed * MIB), "run")
    with pytest.raises(Fault):
        resolve(load(document), DiskGeometry(needed * MIB - MIB), "run")


def test_fixed_sizes_larger_than_the_disk():
    document = layouts.document("va")
    document["partitions"][1]["size"] = "9 GiB"
    with pytest.raises(Fault) as raised:
        resolve(load(document), DiskGeometry(8 * GIB), "run")
    assert raised.value.id == "layout.disk_too_small"


def test_volumes_larger_than_their_group():
    document = layouts.document("va")
    document["volume_groups"][0]["volumes"][1]["size"] = "4 GiB"
    with pytest.raises(Fault) as raised:
        resolve(load(document), DiskGeometry(8 * GIB), "run")
    assert raised.value.id == "layout.group_too_small"
    assert f"({4 * GIB + 512 * MIB - 1023 * 4 * MIB} bytes)" in raised.value.what


def test_devices_by_id():
    resolved = layouts.resolved("va")
    assert resolved.device("/dev/nvme0n1", "dispatch") == "/dev/nvme0n1p2"
    assert resolved.device("/dev/vda", "root_b") == "/dev/VB/root"


def test_what_a_slot_mounts():
    resolved = layouts.resolved("dual")
    assert [one.mount for one in resolved.slot_file_systems("b", "commit")] == [
        "/",
        "/boot/dispatch",
        "/boot/efi",
        "/data",
        "/image",
    ]
    assert resolved.slot_file_systems("b", "commit")[0].on == "root_b"
