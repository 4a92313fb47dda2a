# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The diff is empty exactly when the disk is as resolved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.diff import diff
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import is_due
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.observed import (
    Observed,
    ObservedFileSystem,
    ObservedPartition,
    ObservedVolume,
    ObservedVolumeGroup,
)

from tests.support import layouts


def observe(resolved, upto, node="/dev/vda"):
    """Return what a disk looks like on which ``resolved`` was made ``upto`` a moment."""
    numbers = {part.id: part.number for part in resolved.partitions}
    return Observed(
        node=node,
        table="gpt",
        disk_guid=resolved.disk_guid,
        sector_bytes=resolved.sector_bytes,
        disk_bytes=resolved.disk_bytes,
        partitions=tuple(
            ObservedPartition(one.number, one.name, one.type_guid, one.start_lba, one.sectors, one.uuid, one.attributes)
            for one in resolved.partitions
            if is_due(one.at, upto)
        ),
        volume_groups=tuple(
            ObservedVolumeGroup(
                group.name,
                group.extent_bytes,
                tuple(numbers[one] for one in group.partitions),
                (),
                tuple(ObservedVolume(one.name, one.extents, one.bytes) for one in group.volumes),
            )
            for group in resolved.volume_groups
            if is_due(group.at, upto)
        ),
        file_systems=tuple(
            ObservedFileSystem(
                resolved.device(node, one.on),
                one.kind,
                one.label,
                one.uuid,
                (one.mount,) if one.mount and one.on != "root_b" else (),
            )
            for one in resolved.file_systems
            if is_due(one.at, upto)
        ),
        problems=(),
    )


@pytest.mark.parametrize("name", ["va", "dual"])
def test_no_difference(name):
    resolved = layouts.resolved(name)
    assert diff(resolved, observe(resolved, "convert"), "convert", slot="a") == []
    assert diff(resolved, observe(resolved, "commit"), "commit", slot="a") == []


def test_what_is_due_later_may_be_there_already():
    resolved = layouts.resolved("va")
    assert diff(resolved, observe(resolved, "commit"), "convert") == []


def test_what_is_missing_at_commit():
    resolved = layouts.resolved("va")
    assert [one.path for one in diff(resolved, observe(resolved, "convert"), "commit")] == [
        ".partitions[vb]",
        ".volume_groups[vb_group]",
        ".file_systems[root_b]",
    ]


def test_slot_b_is_not_mounted_in_slot_a():
    resolved = layouts.resolved("va")
    paths = [one.path for one in diff(resolved, observe(resolved, "commit"), "commit", slot="b")]
    assert paths == [".file_systems[root_b].mount"]


def test_every_kind_of_difference():
    resolved = layouts.resolved("va")
    good = observe(resolved, "convert")
    group = good.volume_groups[0]
    part = good.partitions[1]
    system = good.file_systems[0]
    extra = replace(part, number=9, name="old")
    cases = {
        ".table": replace(good, table="dos"),
        ".disk_guid": replace(good, disk_guid="X"),
        ".sector_bytes": replace(good, sector_bytes=4096),
        ".disk_bytes": replace(good, disk_bytes=1),
        ".partitions[bios]": replace(good, partitions=good.partitions[1:]),
        ".partitions[9]": replace(good, partitions=(*good.partitions, extra)),
        ".partitions[dispatch].sectors": replace(
            good, partitions=(good.partitions[0], replace(part, sectors=1), *good.partitions[2:])
        ),
        ".volume_groups[old]": replace(good, volume_groups=(group, replace(group, name="old"))),
        ".volume_groups[va_group].partitions": replace(good, volume_groups=(replace(group, foreign=("/dev/vdb1",)),)),
        ".volume_groups[va_group].volumes[root_a].extents": replace(
            good, volume_groups=(replace(group, volumes=(ObservedVolume("root", 1, 4), *group.volumes[1:])),)
        ),
        ".volume_groups[va_group].volumes[swap]": replace(
            good, volume_groups=(replace(group, volumes=(*group.volumes, ObservedVolume("swap", 1, 4))),)
        ),
        ".file_systems[dispatch].uuid": replace(
            good, file_systems=(replace(system, uuid="other"), *good.file_systems[1:])
        ),
    }
    for path, observed in cases.items():
        assert [one.path for one in diff(resolved, observed, "convert")] == [path]
    # A commit that was cut leaves one copy half written; only the commit can mend it, and it comes after this look.
    damaged = ("backup header damaged",)
    assert diff(resolved, replace(good, problems=damaged), "convert") == []
    whole = replace(observe(resolved, "commit"), problems=damaged)
    assert [one.found for one in diff(resolved, whole, "commit")] == list(damaged)
