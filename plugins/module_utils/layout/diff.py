# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one diff of the project: apply does it, plan freezes it, verify demands that it be empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .model import (
    ResolvedFileSystem,
    ResolvedLayout,
    ResolvedPartition,
    ResolvedVolumeGroup,
    is_due,
)
from .observed import Observed, ObservedPartition, ObservedVolumeGroup
from .overlay import LOWER, mode_of


@dataclass(frozen=True)
class Difference:
    """``path`` like ``.partitions[dispatch].sectors``; ``wanted`` or ``found`` may be None."""

    path: str
    wanted: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.path}: wanted {self.wanted}, found {self.found}"


def diff(resolved: ResolvedLayout, observed: Observed, upto: str, *, slot: str | None = None) -> list[Difference]:
    """Return what of the layout, as far as due ``upto`` a moment, is not as resolved.

    What is due later may be there already, but then as resolved. With ``slot``, the file systems
    of that slot must also be mounted where the layout says.
    """
    found = list(table_differences(resolved, observed, upto))
    found += _group_differences(resolved, observed, upto)
    found += _file_system_differences(resolved, observed, upto)
    if slot is not None:
        found += _mount_differences(resolved, observed, upto, slot)
    return found


def table_differences(resolved: ResolvedLayout, observed: Observed, upto: str) -> Iterator[Difference]:
    """Yield the differences of the partition table alone."""
    for path, wanted, found in (
        (".table", resolved.table, observed.table),
        (".disk_guid", resolved.disk_guid.upper(), observed.disk_guid.upper()),
        (".sector_bytes", resolved.sector_bytes, observed.sector_bytes),
        (".disk_bytes", resolved.disk_bytes, observed.disk_bytes),
    ):
        if wanted != found:
            yield Difference(path, wanted, found)
    if is_due("commit", upto):
        # Until then one copy may be half written: a commit that was cut leaves it so, and the next one mends it.
        for problem in observed.problems:
            yield Difference(".table", "a table without defects", problem)
    by_number = {part.number: part for part in observed.partitions}
    for wanted_part in resolved.partitions:
        found_part = by_number.pop(wanted_part.number, None)
        path = f".partitions[{wanted_part.id}]"
        if found_part is not None:
            yield from _partition_differences(path, wanted_part, found_part)
        elif is_due(wanted_part.at, upto):
            yield Difference(path, f"partition {wanted_part.number}", None)
    if not is_due("commit", upto):
        # What of the old system stays until then may be gone: whoever starts the new one can do without.
        for kept in resolved.until_commit:
            found_part = by_number.pop(kept.number, None)
            if found_part is not None:
                yield from _partition_differences(f".until_commit[{kept.id}]", kept, found_part)
    for number, found_part in sorted(by_number.items()):
        yield Difference(f".partitions[{number}]", None, f"partition {number} {found_part.name!r}")


def _partition_differences(path: str, wanted: ResolvedPartition, found: ObservedPartition) -> Iterator[Difference]:
    for name in ("start_lba", "sectors", "type_guid", "uuid", "name", "attributes"):
        one, other = getattr(wanted, name), getattr(found, name)
        if name in ("type_guid", "uuid"):
            one, other = one.upper(), other.upper()
        if one != other:
            yield Difference(f"{path}.{name}", one, other)


def _group_differences(resolved: ResolvedLayout, observed: Observed, upto: str) -> Iterator[Difference]:
    by_name = {group.name: group for group in observed.volume_groups}
    numbers = {part.id: part.number for part in resolved.partitions}
    for wanted in resolved.volume_groups:
        path = f".volume_groups[{wanted.id}]"
        found = by_name.pop(wanted.name, None)
        if found is None:
            if is_due(wanted.at, upto):
                yield Difference(path, wanted.name, None)
            continue
        members = tuple(sorted(numbers[one] for one in wanted.partitions))
        if members != tuple(sorted(found.partitions)) or found.foreign:
            yield Difference(f"{path}.partitions", members, (*found.partitions, *found.foreign))
        if wanted.extent_bytes != found.extent_bytes:
            yield Difference(f"{path}.extent_bytes", wanted.extent_bytes, found.extent_bytes)
        yield from _volume_differences(path, wanted, found, upto)
    for name in sorted(by_name):
        yield Difference(f".volume_groups[{name}]", None, name)


def _volume_differences(
    path: str, wanted: ResolvedVolumeGroup, found: ObservedVolumeGroup, upto: str
) -> Iterator[Difference]:
    by_name = {volume.name: volume for volume in found.volumes}
    for volume in wanted.volumes:
        there = by_name.pop(volume.name, None)
        where = f"{path}.volumes[{volume.id}]"
        if there is None and is_due(volume.at, upto):
            yield Difference(where, volume.name, None)
        elif there is not None and there.extents != volume.extents:
            yield Difference(f"{where}.extents", volume.extents, there.extents)
    for name in sorted(by_name):
        yield Difference(f"{path}.volumes[{name}]", None, name)


def _file_system_differences(resolved: ResolvedLayout, observed: Observed, upto: str) -> Iterator[Difference]:
    by_device = {system.device: system for system in observed.file_systems}
    for wanted in resolved.file_systems:
        found = by_device.get(resolved.device(observed.node, wanted.on))
        path = f".file_systems[{wanted.on}]"
        if found is None:
            if is_due(wanted.at, upto):
                yield Difference(path, wanted.kind, None)
            continue
        for name in ("kind", "label", "uuid"):
            one, other = getattr(wanted, name), getattr(found, name)
            if one.lower() != other.lower():
                yield Difference(f"{path}.{name}", one, other)


def _mount_differences(resolved: ResolvedLayout, observed: Observed, upto: str, slot: str) -> Iterator[Difference]:
    by_device = {system.device: system for system in observed.file_systems}
    root = resolved.slots[slot]
    for wanted in _mounted(resolved, slot, upto):
        found = by_device.get(resolved.device(observed.node, wanted.on))
        mount = wanted.mount
        if wanted.on == root.root and root.overlay.read_only:
            mount = LOWER
        if found is None or mount not in found.mounts:
            yield Difference(f".file_systems[{wanted.on}].mount", mount, list(found.mounts) if found else None)
    places = (("/", root.overlay.mode), *((one, "overlay-data") for one in root.overlay.persist))
    for place, mode in places:
        upper = observed.overlays.get(place)
        seen = mode_of(upper)
        if seen != mode:
            yield Difference(f".slots[{slot}].overlay[{place}]", mode, seen)


def _mounted(resolved: ResolvedLayout, slot: str, upto: str) -> list[ResolvedFileSystem]:
    systems = resolved.slot_file_systems(slot, upto)
    return [one for one in systems if one.mount and "noauto" not in one.options.split(",")]
