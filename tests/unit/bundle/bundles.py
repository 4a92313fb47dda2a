# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small but whole bundle in a folder, for tests that break it."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import write

LAYOUT = {"name": "tiny", "version": 1}


def make(folder: Path) -> Path:
    """Write a bundle with two layouts into ``folder``."""
    for name, content in {
        "environment/vmlinuz": b"kernel" * 100,
        "environment/initrd.img": b"initrd" * 1000,
        "environment/modaliases.json": b'["pci:v00008086*"]',
        "environment/interpreter.tar.gz": b"python" * 500,
        "payload/rootfs.tar.zst": b"payload" * 2000,
        "layouts/tiny.json": json.dumps(LAYOUT).encode(),
        "layouts/other.json": json.dumps({**LAYOUT, "name": "other"}).encode(),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = write.describe(
        folder,
        "debian-13",
        "1",
        {"kernel_release": "6.12.1-amd64", "unpacked_bytes": 1000},
        {
            "file": "payload/rootfs.tar.zst",
            "compression": "zstd",
            "unpacked_bytes": 5000,
            "entries": 12,
            "os": {"id": "debian", "version_id": "13", "pretty_name": "Debian 13"},
            "network_renderer": "networkd",
            "kernel_release": "6.12.1-cloud-amd64",
        },
        "tiny",
    )
    write.put(folder, write.serialise(manifest))
    return folder
