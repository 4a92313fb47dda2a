# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fields that plans of several modes have in common: each is filled in here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..bundle.proof import machine
from . import document
from .context import STATE_DIRECTORY


class RunOptions(Protocol):
    """What the options of every mode say of the run: ``now`` is an epoch, ``lifetime`` is in seconds."""

    @property
    def run_id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def now(self) -> int: ...
    @property
    def lifetime(self) -> int: ...
    @property
    def manifest_sha256(self) -> str: ...
    @property
    def signed_by(self) -> str: ...
    @property
    def login_user(self) -> str: ...


def head(mode: str, options: RunOptions, manifest: Mapping[str, Any], capture: Mapping[str, Any]) -> dict[str, Any]:
    """Return what binds a plan to its run, its host, its time and its bundle."""
    return {
        "version": document.VERSION,
        "run_id": options.run_id,
        "host": options.host,
        "mode": mode,
        "created": options.now,
        "expires": options.now + options.lifetime,
        "bundle": {
            "name": manifest["name"],
            "version": str(manifest["version"]),
            "manifest_sha256": options.manifest_sha256,
            "signed_by": options.signed_by,
        },
        "machine": machine(capture),
        "login_user": options.login_user,
    }


def payload(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of a bundle as a plan names it, sizes in bytes."""
    names = ("file", "compression", "sha256", "size", "unpacked_bytes")
    return {name: manifest["payload"][name] for name in names}


def environment(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return kernel and initrd of a bundle's convert environment as a plan names them, sizes in bytes."""
    return {
        part: {name: manifest["environment"][part][name] for name in ("file", "sha256", "size")}
        for part in ("kernel", "initrd")
    }


def identity(disk: Mapping[str, Any], root_uuid: str) -> dict[str, Any]:
    """Return what stage two knows the system disk by, from the disk's facts; sizes in bytes."""
    return {
        "serial": disk.get("serial") or "",
        "wwn": disk.get("wwn") or "",
        "by_id": sorted(disk.get("by_id") or []),
        "size_bytes": int(disk.get("size_bytes") or 0),
        "sector_bytes": int(disk.get("logical_sector_bytes") or 512),
        "table": disk.get("table") or "none",
        "table_id": disk.get("table_id") or "",
        "root_uuid": root_uuid,
        "name": disk.get("name") or "",
    }


def staging(root: Mapping[str, Any], run_id: str) -> dict[str, str]:
    """Return where stage one leaves things for stage two: on ``root``, the file system that the host runs from."""
    return {
        "uuid": root.get("uuid") or "",
        "fstype": root.get("fstype") or "",
        "directory": f"{STATE_DIRECTORY}/stage",
        "run_directory": f"{STATE_DIRECTORY}/runs/{run_id}",
    }
