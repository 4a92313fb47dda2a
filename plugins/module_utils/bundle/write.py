# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put the manifest of a finished bundle together from what lies in its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .manifest import FILE_NAME, Environment, Manifest, Payload, describe_file, load, to_document

ENVIRONMENT_FILES = {
    "kernel": "environment/vmlinuz",
    "initrd": "environment/initrd.img",
    "modaliases": "environment/modaliases.json",
    "interpreter": "environment/interpreter.tar.gz",
}


def describe(
    folder: Path,
    name: str,
    version: str,
    environment: Mapping[str, Any],
    payload: Mapping[str, Any],
    layout: str,
) -> Manifest:
    """Return the manifest of a folder; sizes and digests are taken from its files.

    ``environment`` holds ``kernel_release, unpacked_bytes``; ``payload`` holds ``file, compression,
    unpacked_bytes, entries, os, network_renderer, kernel_release``. Every
    ``layouts/*.json`` is part of the bundle.
    """
    return Manifest(
        name=name,
        version=version,
        architecture="x86_64",
        environment=Environment(
            **{key: describe_file(folder, file) for key, file in ENVIRONMENT_FILES.items()},
            kernel_release=str(environment["kernel_release"]),
            unpacked_bytes=int(environment["unpacked_bytes"]),
        ),
        payload=Payload(
            file=describe_file(folder, str(payload["file"])),
            compression=str(payload["compression"]),
            unpacked_bytes=int(payload["unpacked_bytes"]),
            entries=int(payload["entries"]),
            os={key: str(value) for key, value in payload["os"].items()},
            network_renderer=str(payload["network_renderer"]),
            kernel_release=str(payload["kernel_release"]),
        ),
        layouts={
            path.stem: describe_file(folder, f"layouts/{path.name}") for path in sorted(folder.glob("layouts/*.json"))
        },
        layout=layout,
    )


def serialise(manifest: Manifest) -> bytes:
    """Return the bytes of the manifest file; raises ``bundle.manifest_invalid`` for one not to be read."""
    document = to_document(manifest)
    load(document)
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def put(folder: Path, raw: bytes) -> bool:
    """Write the manifest file whole; return whether it changed."""
    path = folder / FILE_NAME
    if path.is_file() and path.read_bytes() == raw:
        return False
    draft = folder / f".{FILE_NAME}.{os.getpid()}"
    draft.write_bytes(raw)
    draft.chmod(0o644)
    draft.replace(path)
    return True
