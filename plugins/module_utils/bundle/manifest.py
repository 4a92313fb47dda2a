# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifest: what a bundle holds, with the size and SHA-256 of every file.

``load`` collects every problem with its path before it complains, so that a broken manifest is
understood at the first look.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..shape import foreign, line, printable

FORMAT = 1
FILE_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.cms"
ARCHITECTURES = ("x86_64",)
COMPRESSIONS = ("zstd", "xz", "gzip", "none")
RENDERERS = ("networkd", "ifupdown")
CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class BundleFile:
    """One file: its path inside the bundle, SHA-256 in hex, size in bytes."""

    file: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Environment:
    """The convert environment; ``unpacked_bytes`` is what its initrd takes of RAM."""

    kernel: BundleFile
    initrd: BundleFile
    modaliases: BundleFile
    interpreter: BundleFile
    kernel_release: str
    unpacked_bytes: int


@dataclass(frozen=True)
class Payload:
    """The new system's archive; ``unpacked_bytes`` is what it takes of a disk with 4 KiB blocks.

    ``os`` is ``{id, version_id, pretty_name}`` of os-release(5).
    """

    file: BundleFile
    compression: str
    unpacked_bytes: int
    entries: int
    os: Mapping[str, str]
    network_renderer: str
    kernel_release: str


@dataclass(frozen=True)
class Manifest:
    """The whole manifest; ``layout`` is the name of the layout that is used unless told otherwise."""

    name: str
    version: str
    architecture: str
    environment: Environment
    payload: Payload
    layouts: Mapping[str, BundleFile]
    layout: str

    def files(self) -> Iterator[BundleFile]:
        """Yield every file, the small ones first."""
        environment = self.environment
        found = [environment.kernel, environment.initrd, environment.modaliases, environment.interpreter]
        yield from sorted([*found, self.payload.file, *self.layouts.values()], key=lambda item: item.size)


def load(document: Any) -> Manifest:
    """Return the checked manifest; raises ``bundle.manifest_invalid`` or ``bundle.architecture``."""
    reader = _Reader()
    reader.problems += foreign(document)
    top = reader.mapping(document, "")
    if reader.number(top, "format", "") != FORMAT:
        reader.problems.append(f".format: this release reads {FORMAT} only")
    parts = reader.mapping(top.get("environment"), ".environment")
    load_part = reader.mapping(top.get("payload"), ".payload")
    layouts = reader.mapping(top.get("layouts"), ".layouts")
    manifest = Manifest(
        name=reader.text(top, "name", ""),
        version=reader.text(top, "version", ""),
        architecture=reader.text(top, "architecture", ""),
        environment=Environment(
            kernel=reader.file(parts.get("kernel"), ".environment.kernel"),
            initrd=reader.file(parts.get("initrd"), ".environment.initrd"),
            modaliases=reader.file(parts.get("modaliases"), ".environment.modaliases"),
            interpreter=reader.file(parts.get("interpreter"), ".environment.interpreter"),
            kernel_release=reader.text(parts, "kernel_release", ".environment"),
            unpacked_bytes=reader.number(parts, "unpacked_bytes", ".environment"),
        ),
        payload=Payload(
            file=reader.file(load_part, ".payload"),
            compression=reader.choice(load_part, "compression", ".payload", COMPRESSIONS),
            unpacked_bytes=reader.number(load_part, "unpacked_bytes", ".payload"),
            entries=reader.number(load_part, "entries", ".payload"),
            os=reader.os(load_part.get("os"), ".payload.os"),
            network_renderer=reader.choice(load_part, "network_renderer", ".payload", RENDERERS),
            kernel_release=reader.text(load_part, "kernel_release", ".payload"),
        ),
        layouts={str(name): reader.file(value, f".layouts.{name}") for name, value in layouts.items()},
        layout=reader.text(top, "layout", ""),
    )
    if not layouts:
        reader.problems.append(".layouts: must name at least one layout")
    elif manifest.layout and manifest.layout not in layouts:
        reader.problems.append(
            f".layout: {manifest.layout} is not among .layouts ({', '.join(sorted(map(str, layouts)))})"
        )
    if reader.problems:
        raise Fault(kinds.MANIFEST_INVALID, problems="; ".join(reader.problems))
    if manifest.architecture not in ARCHITECTURES:
        raise Fault(kinds.ARCHITECTURE, found=manifest.architecture, known=", ".join(ARCHITECTURES))
    return manifest


def to_document(manifest: Manifest) -> dict[str, Any]:
    """Return the JSON document that ``load`` reads."""
    document: dict[str, Any] = {"format": FORMAT, **asdict(manifest)}
    payload = document["payload"]
    payload.update(payload.pop("file"))
    return document


def describe_file(folder: Path, name: str) -> BundleFile:
    """Return the entry of a file that lies in the bundle's folder."""
    path = folder / name
    return BundleFile(name, hash_file(path), path.stat().st_size)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            total.update(data)
    return total.hexdigest()


def check_size(entry: BundleFile, size: int) -> None:
    """Raise ``bundle.truncated`` unless the file has the size that the manifest names."""
    if size != entry.size:
        raise Fault(kinds.TRUNCATED, file=entry.file, found=size, wanted=entry.size)


def check_digest(entry: BundleFile, digest: str) -> None:
    """Raise ``bundle.altered`` unless the file has the digest that the manifest names."""
    if digest != entry.sha256:
        raise Fault(kinds.ALTERED, file=entry.file, found=digest, wanted=entry.sha256)


def check_file(folder: Path, entry: BundleFile) -> None:
    """Check one file of a bundle's folder: there, of its size, of its digest."""
    path = folder / entry.file
    if not path.is_file():
        raise Fault(kinds.FILE_MISSING, bundle=folder, file=entry.file)
    check_size(entry, path.stat().st_size)
    check_digest(entry, hash_file(path))


def check_files(folder: Path, manifest: Manifest) -> None:
    """Check every file of a bundle's folder; raises the fault of the first that is wrong."""
    for entry in manifest.files():
        check_file(folder, entry)


def layout_file(manifest: Manifest, name: str) -> BundleFile:
    """Return the file of a layout of the bundle; raises ``bundle.layout_unknown``."""
    if name not in manifest.layouts:
        raise Fault(kinds.LAYOUT_UNKNOWN, name=name, known=", ".join(sorted(manifest.layouts)))
    return manifest.layouts[name]


class _Reader:
    """Takes a document apart and remembers every problem with its path."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def mapping(self, value: Any, path: str) -> Mapping[str, Any]:
        if isinstance(value, Mapping):
            return value
        self.problems.append(f"{path or '.'}: must be a mapping")
        return {}

    def text(self, owner: Mapping[str, Any], key: str, path: str) -> str:
        value = owner.get(key)
        if isinstance(value, str) and value and not line(value) and not printable(value):
            return value
        self.problems.append(f"{path}.{key}: must be a text of one line")
        return ""

    def number(self, owner: Mapping[str, Any], key: str, path: str) -> int:
        value = owner.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self.problems.append(f"{path}.{key}: must be a whole number")
        return 0

    def choice(self, owner: Mapping[str, Any], key: str, path: str, known: tuple[str, ...]) -> str:
        value = owner.get(key)
        if value in known:
            return str(value)
        self.problems.append(f"{path}.{key}: must be one of {', '.join(known)}")
        return known[0]

    def os(self, value: Any, path: str) -> Mapping[str, str]:
        owner = self.mapping(value, path)
        return {key: str(owner.get(key, "")) for key in ("id", "version_id", "pretty_name")}

    def file(self, value: Any, path: str) -> BundleFile:
        owner = self.mapping(value, path)
        if not isinstance(value, Mapping):
            return BundleFile("", "", 0)
        entry = BundleFile(
            self.text(owner, "file", path), self.text(owner, "sha256", path), self.number(owner, "size", path)
        )
        pure = PurePosixPath(entry.file)
        if pure.is_absolute() or ".." in pure.parts or "\0" in entry.file:
            self.problems.append(f"{path}.file: must lie inside the bundle")
        if entry.sha256 and not _DIGEST.fullmatch(entry.sha256):
            self.problems.append(f"{path}.sha256: must be 64 hexadecimal digits")
        return replace(entry, file=str(pure))
