# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on a disk now, in the words of the resolved layout, so that the two can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import codec


@dataclass(frozen=True)
class ObservedPartition:
    number: int
    name: str
    type_guid: str
    start_lba: int
    sectors: int
    uuid: str
    attributes: tuple[int, ...]


@dataclass(frozen=True)
class ObservedVolume:
    name: str
    extents: int
    bytes: int


@dataclass(frozen=True)
class ObservedVolumeGroup:
    """``partitions`` are numbers on this disk; ``foreign`` are nodes of other disks."""

    name: str
    extent_bytes: int
    partitions: tuple[int, ...]
    foreign: tuple[str, ...]
    volumes: tuple[ObservedVolume, ...]


@dataclass(frozen=True)
class ObservedFileSystem:
    """``device`` is a node as ``ResolvedLayout.device`` names it; ``mounts`` are mount points."""

    device: str
    kind: str
    label: str
    uuid: str
    mounts: tuple[str, ...]


@dataclass(frozen=True)
class Observed:
    """``table`` is ``gpt``, ``dos`` or ``none``; ``problems`` are defects of the table.

    ``overlays`` has the folder of the upper part by mount point, of every overlay that is mounted.
    """

    node: str
    table: str
    disk_guid: str
    sector_bytes: int
    disk_bytes: int
    partitions: tuple[ObservedPartition, ...]
    volume_groups: tuple[ObservedVolumeGroup, ...]
    file_systems: tuple[ObservedFileSystem, ...]
    problems: tuple[str, ...]
    overlays: Mapping[str, str] = field(default_factory=dict)

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = codec.to_document(self)
        return document
