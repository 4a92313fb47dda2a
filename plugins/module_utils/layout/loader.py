# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a layout document (version 1): all errors at once, each with its path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .. import shape
from ..faults import layout as kinds
from ..faults.fault import Fault
from ..units import MIB, parse_size
from .model import (
    ATTRIBUTES,
    LABEL_LENGTHS,
    TYPE_GUIDS,
    FileSystem,
    Layout,
    Partition,
    Size,
    Volume,
    VolumeGroup,
)
from .names import LVM_NAME, MOMENTS
from .reading import Node, Problem, Problems
from .references import check as check_references
from .roots import read_root

VERSION = 1
DEFAULT_EXTENT = 4 * MIB

_LAYOUT = (
    "name",
    "version",
    "description",
    "table",
    "partitions",
    "volume_groups",
    "file_systems",
    "slots",
    "dispatch",
)
_PARTITION = ("id", "type", "size", "minimum", "name", "attributes", "at")
_GROUP = ("id", "name", "partitions", "extent", "at", "volumes")
_VOLUME = ("id", "name", "size", "minimum", "at")
_FILE_SYSTEM = ("on", "kind", "label", "mount", "options", "at")
_SLOT = ("root",)

_ID = re.compile(r"[a-z][a-z0-9_]*")
_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?) *%")


def load(document: Any) -> Layout:
    """Return the layout of a document as YAML or JSON gave it.

    Raises ``Fault`` ``layout.invalid`` whose text names every problem with its path.
    """
    layout, problems = read(document)
    if problems:
        raise Fault(kinds.INVALID, count=len(problems), problems="; ".join(map(str, problems)))
    return layout


def read(document: Any) -> tuple[Layout, tuple[Problem, ...]]:
    """Return the layout as far as it can be read, and all problems of the document."""
    problems = Problems()
    node = Node(document, "", _LAYOUT, problems)
    name = node.text("name")
    version = node.raw("version", required=False)
    if version is not None and version != VERSION:
        problems.add(".version", f"{version!r} is not known here; this collection reads version {VERSION}")
    node.choice("table", ("gpt",), "gpt")
    _description(node)
    partitions = tuple(_partition(item, path, problems) for path, item in node.items("partitions"))
    moments = {one.id: one.at for one in partitions}
    groups = tuple(_group(item, path, problems, moments) for path, item in node.items("volume_groups", required=False))
    moments.update({volume.id: volume.at for group in groups for volume in group.volumes})
    systems = tuple(_file_system(item, path, problems, moments) for path, item in node.items("file_systems"))
    slots, overlays = {}, {}
    for slot, value in node.mapping("slots").items():
        root, overlay = read_root(Node(value, f".slots.{slot}", _SLOT, problems), systems)
        slots[str(slot)] = root
        if overlay.read_only:
            overlays[str(slot)] = overlay
    layout = Layout(name, partitions, groups, systems, slots, node.text("dispatch"), overlays)
    check_references(layout, problems)
    return layout, problems.found


def read_size(node: Node, key: str = "size") -> Size:
    """Return the wish under ``key``: ``512 MiB``, bytes as a number, ``40%`` or ``rest``."""
    value = node.raw(key, required=False)
    path = f"{node.path}.{key}"
    if value is None or value == "rest":
        return Size("rest")
    if isinstance(value, str):
        match = _PERCENT.fullmatch(value.strip())
        if match:
            hundredths = round(float(match.group(1)) * 100)
            if not 0 < hundredths <= 10000:
                node.problems.add(path, f"{value} is not between 0% and 100%")
            return Size("percent", hundredths)
    return Size("fixed", _bytes(node, key, "write for example 512 MiB, 40% or rest"))


def read_volume(value: Any, path: str, problems: Problems, at: str) -> Volume:
    """Return a logical volume of a group that is made ``at``."""
    node = Node(value, path, _VOLUME, problems)
    identity = _identity(node)
    name = node.text("name", identity)
    if name and not LVM_NAME.fullmatch(name):
        problems.add(f"{path}.name", f"{name!r} is no name that LVM allows")
    return Volume(
        id=identity,
        name=name,
        size=read_size(node),
        at=node.choice("at", MOMENTS, at),
        minimum=_minimum(node),
    )


def _partition(value: Any, path: str, problems: Problems) -> Partition:
    node = Node(value, path, _PARTITION, problems)
    identity = _identity(node)
    name = node.text("name", identity)
    if len(name.encode("utf-16-le")) > 72:
        problems.add(f"{path}.name", "is longer than the 36 characters that GPT holds")
    if ":" in name:
        problems.add(f"{path}.name", "a colon is the separator of sgdisk, which cuts the name there")
    return Partition(
        id=identity,
        type_guid=_type(node),
        size=read_size(node),
        name=name,
        attributes=_attributes(node),
        at=node.choice("at", MOMENTS, "convert"),
        minimum=_minimum(node),
    )


def _group(value: Any, path: str, problems: Problems, moments: dict[str, str]) -> VolumeGroup:
    node = Node(value, path, _GROUP, problems)
    identity = _identity(node)
    name = node.text("name", identity)
    if name and not LVM_NAME.fullmatch(name):
        problems.add(f"{path}.name", f"{name!r} is no name that LVM allows")
    partitions = tuple(str(item) for _where, item in node.items("partitions"))
    if not partitions and node.has("partitions"):
        problems.add(f"{path}.partitions", "at least one partition is needed")
    latest = max((moments.get(one, "convert") for one in partitions), key=MOMENTS.index, default="convert")
    at = node.choice("at", MOMENTS, latest)
    extent = _bytes(node, "extent", "write for example 4 MiB") if node.has("extent") else DEFAULT_EXTENT
    if extent < MIB or extent & (extent - 1):
        problems.add(f"{path}.extent", "must be a power of two of at least 1 MiB")
        extent = DEFAULT_EXTENT
    volumes = tuple(read_volume(item, where, problems, at) for where, item in node.items("volumes"))
    return VolumeGroup(identity, name, partitions, extent, at, volumes)


def _file_system(value: Any, path: str, problems: Problems, moments: dict[str, str]) -> FileSystem:
    if isinstance(value, Mapping):
        # YAML 1.1 reads a bare key ``on`` as true (yaml.org/type/bool.html); JSON of that has "true".
        value = {"on" if key in (True, "true") else key: item for key, item in value.items()}
    node = Node(value, path, _FILE_SYSTEM, problems)
    on = node.text("on")
    kind = node.choice("kind", tuple(LABEL_LENGTHS))
    label = node.text("label", "")
    longest = LABEL_LENGTHS.get(kind, 16)
    if len(label.encode()) > longest:
        problems.add(f"{path}.label", f"{label!r} is longer than the {longest} bytes of {kind}")
    mount = node.text("mount", "")
    if mount and (not mount.startswith("/") or ".." in mount.split("/") or mount != mount.rstrip("/") != ""):
        problems.add(f"{path}.mount", f"{mount!r} is not an absolute path without a trailing slash")
    if label.startswith("-"):
        problems.add(f"{path}.label", f"{label!r} would be taken for an option of mkfs")
    if any(character.isspace() for character in mount):
        problems.add(f"{path}.mount", f"{mount!r} has a blank, which separates the fields of fstab")
    options = node.text("options", "defaults")
    if any(character.isspace() for character in options):
        problems.add(f"{path}.options", "options are separated by commas, without spaces")
    return FileSystem(on, kind, label, mount, options, node.choice("at", MOMENTS, moments.get(on, "convert")))


def _description(node: Node) -> None:
    """The one text that may have several lines; it is for people, and nothing reads it."""
    value = node.raw("description", required=False)
    if value is not None and shape.printable(value):
        node.problems.add(f"{node.path}.description", shape.printable(value))


def _identity(node: Node) -> str:
    identity = node.text("id")
    if identity and not _ID.fullmatch(identity):
        node.problems.add(f"{node.path}.id", f"{identity!r} must be lower case letters, digits and _")
    return identity


def _type(node: Node) -> str:
    value = node.text("type")
    if _GUID.fullmatch(value):
        return value.upper()
    return TYPE_GUIDS.get(node.choice("type", tuple(TYPE_GUIDS)), "") if value else ""


def _attributes(node: Node) -> tuple[int, ...]:
    bits = set()
    for path, item in node.items("attributes", required=False):
        if item in ATTRIBUTES:
            bits.add(ATTRIBUTES[item])
        elif isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 64:
            bits.add(item)
        else:
            node.problems.add(path, f"{item!r} is none of {', '.join(ATTRIBUTES)} and no bit from 0 to 63")
    return tuple(sorted(bits))


def _minimum(node: Node) -> int:
    return _bytes(node, "minimum", "write for example 1 GiB") if node.has("minimum") else 0


def _bytes(node: Node, key: str, hint: str) -> int:
    value = node.raw(key)
    path = f"{node.path}.{key}"
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        node.problems.add(path, f"not a size: {value!r} ({hint})")
        return MIB
    try:
        count = parse_size(value)
    except ValueError:
        node.problems.add(path, f"not a size: {value!r} ({hint})")
        return MIB
    if count == 0:
        node.problems.add(path, "must be more than nothing")
        return MIB
    return count
