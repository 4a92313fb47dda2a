# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old EFI system partition stays, and the layout is laid around it."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout import resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept import Kept
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import Layout, ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.volumes import steps

from tests.support import layouts

MIB = 1 << 20
GIB = 1 << 30
DISK = resolve.DiskGeometry(8 * GIB)


def shipped(name: str) -> Layout:
    return load(layouts.document(name))


def kept(start: int = MIB, length: int = 512 * MIB, number: int = 1) -> Kept:
    return Kept(number, start, length, "117FB78B-1752-4435-8183-3190600910B6", "8FDA-A740", "OLD")


def places(layout: ResolvedLayout) -> dict[str, tuple[int, int, int]]:
    """Return number, start and end of each partition; the latter in MiB."""
    return {
        part.id: (part.number, part.start_lba // 2048, (part.start_lba + part.sectors) // 2048)
        for part in layout.partitions
    }


def test_at_the_start_of_the_disk() -> None:
    found = resolve.resolve(shipped("dual"), DISK, "seed", kept())
    assert places(found) == {
        "bios": (2, 513, 515),
        "esp": (1, 1, 513),
        "dispatch": (3, 515, 1539),
        "system": (4, 1539, 8191),
    }


def test_it_keeps_its_identity_and_its_file_system() -> None:
    found = resolve.resolve(shipped("dual"), DISK, "seed", kept(number=3))
    esp = found.partition("esp")
    assert (esp.number, esp.uuid, esp.kept) == (3, "117FB78B-1752-4435-8183-3190600910B6", True)
    assert (found.file_system("esp").uuid, found.file_system("esp").label) == ("8FDA-A740", "OLD")
    assert not any(part.kept for part in found.partitions if part.id != "esp")
    assert ResolvedLayout.from_document(found.to_document()) == found


def test_in_the_middle_each_partition_goes_where_it_fits_first() -> None:
    found = resolve.resolve(shipped("dual"), DISK, "seed", kept(start=100 * MIB, length=100 * MIB, number=2))
    assert places(found) == {
        "bios": (1, 1, 3),
        "esp": (2, 100, 200),
        "dispatch": (3, 200, 1224),
        "system": (4, 1224, 8191),
    }


def test_at_no_whole_mib() -> None:
    found = resolve.resolve(shipped("dual"), DISK, "seed", kept(start=34 * 512 + MIB, length=99 * MIB))
    assert places(found)["bios"] == (2, 101, 103)
    assert ResolvedLayout.from_document(found.to_document()) == found


def test_the_rest_is_the_largest_area() -> None:
    found = resolve.resolve(shipped("dual"), DISK, "seed", kept(start=7 * GIB, length=512 * MIB, number=5))
    assert places(found)["system"] == (3, 1027, 7168)


def test_it_is_never_made_anew() -> None:
    found = resolve.resolve(shipped("dual"), DISK, "seed", kept())
    made = [one.system.on for one in steps.target(found, "/dev/vda", "commit").systems]
    assert made and "esp" not in made
    without = resolve.resolve(shipped("dual"), DISK, "seed")
    assert "esp" in [one.system.on for one in steps.target(without, "/dev/vda", "commit").systems]


@pytest.mark.parametrize(
    ("name", "disk_bytes", "old", "wanted"),
    [
        ("va", 8 * GIB, kept(), "layout.no_esp"),
        ("dual", 8 * GIB, kept(start=4 * GIB), "layout.no_room_beside_esp"),
        ("dual", 2 * GIB, kept(start=500 * MIB, length=1000 * MIB), "layout.no_room_beside_esp"),
    ],
)
def test_what_cannot_be(name: str, disk_bytes: int, old: Kept, wanted: str) -> None:
    with pytest.raises(Fault) as raised:
        resolve.resolve(shipped(name), resolve.DiskGeometry(disk_bytes), "seed", old)
    assert raised.value.kind.id == wanted
