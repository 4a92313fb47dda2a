# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The layout as its author wrote it, and the resolved layout that is frozen into a plan.

A ``Layout`` has sizes as wishes (fixed, percent, rest); a ``ResolvedLayout`` has sectors, extents
and UUIDs. Every later step (apply, plan, verify) consumes the resolved one and computes no size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..disk.nodes import partition_node, volume_node
from ..faults import layout as kinds
from ..faults.fault import Fault
from . import codec
from .consistent import problems
from .names import MOMENTS
from .overlay import Overlay

#: Partition types by name; sources: UEFI specification table 5-7, the GRUB manual on BIOS boot,
#: the Discoverable Partitions Specification.
TYPE_GUIDS = {
    "bios_boot": "21686148-6449-6E6F-744E-656564454649",
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
}

#: GPT attribute bits by name; UEFI specification 5.3.3 and systemd's partition flags.
ATTRIBUTES = {
    "required": 0,
    "no_block_io": 1,
    "legacy_boot": 2,
    "grow_file_system": 59,
    "read_only": 60,
    "hidden": 62,
    "no_automount": 63,
}

#: Longest label of each kind of file system, in bytes.
LABEL_LENGTHS = {"ext4": 16, "xfs": 12, "vfat": 11, "swap": 15}


def is_due(at: str, upto: str) -> bool:
    """Tell whether a part made ``at`` one moment exists when all ``upto`` another is made."""
    return MOMENTS.index(at) <= MOMENTS.index(upto)


@dataclass(frozen=True)
class Size:
    """A wish: ``fixed`` bytes, ``percent`` (in hundredths) of what contains it, or the ``rest``."""

    kind: str
    amount: int = 0


@dataclass(frozen=True)
class Partition:
    id: str
    type_guid: str
    size: Size
    name: str
    attributes: tuple[int, ...]
    at: str
    minimum: int


@dataclass(frozen=True)
class Volume:
    id: str
    name: str
    size: Size
    at: str
    minimum: int


@dataclass(frozen=True)
class VolumeGroup:
    id: str
    name: str
    partitions: tuple[str, ...]
    extent_bytes: int
    at: str
    volumes: tuple[Volume, ...]


@dataclass(frozen=True)
class FileSystem:
    """``on`` is the id of a partition or volume; ``mount`` and ``label`` may be empty."""

    on: str
    kind: str
    label: str
    mount: str
    options: str
    at: str


@dataclass(frozen=True)
class Layout:
    """``slots`` maps ``a`` and ``b`` to the id of the volume that holds the slot's root.

    ``overlays`` has those slots whose root is not simply written to.
    """

    name: str
    partitions: tuple[Partition, ...]
    volume_groups: tuple[VolumeGroup, ...]
    file_systems: tuple[FileSystem, ...]
    slots: Mapping[str, str]
    dispatch: str
    overlays: Mapping[str, Overlay] = field(default_factory=dict)


@dataclass(frozen=True)
class ResolvedPartition:
    """``start_lba`` and ``sectors`` count logical sectors; ``attributes`` are bit numbers.

    ``kept``: the partition is the old system's and stays with what is on it (``layout.kept``).
    """

    id: str
    number: int
    name: str
    type_guid: str
    start_lba: int
    sectors: int
    uuid: str
    attributes: tuple[int, ...]
    at: str
    kept: bool = False

    @property
    def last_lba(self) -> int:
        return self.start_lba + self.sectors - 1


@dataclass(frozen=True)
class ResolvedVolume:
    """``first`` is the volume's first extent, counted through the partitions of its group in order."""

    id: str
    name: str
    extents: int
    bytes: int
    at: str
    first: int = 0


@dataclass(frozen=True)
class ResolvedVolumeGroup:
    """``partition_extents`` has the extents of each partition; volumes lie at fixed ones of them."""

    id: str
    name: str
    partitions: tuple[str, ...]
    extent_bytes: int
    at: str
    volumes: tuple[ResolvedVolume, ...]
    partition_extents: tuple[int, ...] = ()


@dataclass(frozen=True)
class ResolvedFileSystem:
    on: str
    kind: str
    label: str
    uuid: str
    mount: str
    options: str
    at: str


@dataclass(frozen=True)
class ResolvedSlot:
    root: str
    at: str
    overlay: Overlay = Overlay()


@dataclass(frozen=True)
class ResolvedLayout:
    """The whole disk in sectors, extents and UUIDs: the ``layout`` of a plan.

    ``until_commit`` are partitions of the old system that stay until the phase commit and go then
    (``layout.kept_old``); what is made at ``commit`` may lie where they are.
    """

    name: str
    table: str
    disk_guid: str
    sector_bytes: int
    disk_bytes: int
    partitions: tuple[ResolvedPartition, ...]
    volume_groups: tuple[ResolvedVolumeGroup, ...]
    file_systems: tuple[ResolvedFileSystem, ...]
    slots: dict[str, ResolvedSlot]
    dispatch: str
    until_commit: tuple[ResolvedPartition, ...] = ()

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = codec.to_document(self)
        return document

    @classmethod
    def from_document(cls, document: Any, path: str = "") -> ResolvedLayout:
        """Raises ``Fault`` ``layout.unreadable`` when the document is not a resolved layout.

        ``path`` is where it lies inside another document, ``.layout`` in a plan.
        """
        try:
            layout = codec.from_document(cls, document, path)
        except codec.ShapeError as error:
            raise Fault(kinds.UNREADABLE, problem=str(error)) from error
        found = problems(layout)
        if found:
            raise Fault(kinds.UNREADABLE, problem="; ".join(f"{path}{one}" for one in found))
        return layout

    def partitions_at(self, upto: str) -> tuple[ResolvedPartition, ...]:
        """Return the partitions that the table has when all ``upto`` a moment is made."""
        made = tuple(part for part in self.partitions if is_due(part.at, upto))
        if is_due("commit", upto) or not self.until_commit:
            return made
        return tuple(sorted((*made, *self.until_commit), key=lambda part: part.number))

    def partition(self, partition_id: str) -> ResolvedPartition:
        return next(part for part in self.partitions if part.id == partition_id)

    def volume(self, volume_id: str) -> tuple[ResolvedVolumeGroup, ResolvedVolume]:
        """Return a volume with the group that holds it; raises ``KeyError``."""
        for group in self.volume_groups:
            for volume in group.volumes:
                if volume.id == volume_id:
                    return group, volume
        raise KeyError(volume_id)

    def device(self, disk_node: str, on: str) -> str:
        """Return the device of a partition or volume id, with the disk at ``disk_node``."""
        if any(part.id == on for part in self.partitions):
            return partition_node(disk_node, self.partition(on).number)
        group, volume = self.volume(on)
        return volume_node(group.name, volume.name)

    def file_system(self, on: str) -> ResolvedFileSystem:
        """Return the file system on a partition or volume id; raises ``StopIteration``."""
        return next(system for system in self.file_systems if system.on == on)

    def slot_file_systems(self, slot: str, upto: str = "convert") -> tuple[ResolvedFileSystem, ...]:
        """Return what the system in ``slot`` mounts: its own root first, then by mount point."""
        roots = {one.root for one in self.slots.values()}
        root = self.slots[slot].root
        found = [
            system
            for system in self.file_systems
            if is_due(system.at, upto)
            and (system.mount or system.kind == "swap")
            and (system.on == root or system.on not in roots)
        ]
        return tuple(sorted(found, key=lambda system: (system.on != root, system.mount)))
