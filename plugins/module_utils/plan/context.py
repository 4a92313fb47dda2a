# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that the checks look at, in one read-only object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .lifeboat import Berth
from .options import Options
from .predict import Prediction

#: Where everything is staged on the old system.
STATE_DIRECTORY = "/var/lib/dualroot"


@dataclass(frozen=True)
class Context:
    """Facts of the host, manifest of the bundle, the layout for this disk, and the run's options.

    ``facts`` and ``manifest`` are documents; ``layout`` is the resolved layout as a document, or
    ``None`` where it cannot be used (``layout_findings`` say why); ``berth`` is where a lifeboat may lie
    in it. ``capture`` is the redacted capture, ``capture_problems`` what its readers reported.
    """

    facts: Mapping[str, Any]
    manifest: Mapping[str, Any]
    options: Options
    prediction: Prediction
    layout: Mapping[str, Any] | None = None
    berth: Berth | None = None
    #: Why the old system is not kept, where it was to be; every reason that is known.
    old_not_kept: tuple[str, ...] = ()
    capture: Mapping[str, Any] | None = None
    capture_problems: Sequence[Mapping[str, str]] = ()
    modaliases: Sequence[str] = ()
    bad_addresses: Sequence[Mapping[str, str]] = field(default_factory=tuple)

    @property
    def disks(self) -> list[Mapping[str, Any]]:
        return list(self.facts.get("disks") or [])

    @property
    def root(self) -> Mapping[str, Any]:
        return self.facts.get("root") or {}

    @property
    def system_disk(self) -> Mapping[str, Any] | None:
        """The disk to convert: the operator's where one is named, otherwise the one under /."""
        if self.options.disk:
            matches = find_disks(self.disks, self.options.disk)
            return matches[0] if len(matches) == 1 else None
        name = self.facts.get("system_disk")
        return next((disk for disk in self.disks if disk["name"] == name), None)


def disk_ids(disk: Mapping[str, Any]) -> set[str]:
    """Return every name by which an operator may call this disk."""
    names = {str(disk["name"]), str(disk.get("serial") or ""), str(disk.get("wwn") or "")}
    for link in disk.get("by_id") or []:
        names |= {link, link.rsplit("/", 1)[-1]}
    return names - {""}


def find_disks(disks: Sequence[Mapping[str, Any]], wanted: str) -> list[Mapping[str, Any]]:
    """Return the disks that the operator's name matches."""
    return [disk for disk in disks if wanted in disk_ids(disk)]


def show_disks(disks: Sequence[Mapping[str, Any]]) -> str:
    """Return the disks with their best id, for a message."""
    shown = []
    for disk in disks:
        ids = [disk.get("serial"), disk.get("wwn"), *(disk.get("by_id") or [])]
        best = next((str(name) for name in ids if name), "no stable id")
        shown.append(f"{disk['name']} ({best})")
    return ", ".join(shown) or "none"


def system_partition(context: Context) -> Mapping[str, Any] | None:
    """Return the partition of the system disk that holds the old root, None where it lies on something else."""
    device = context.root.get("device")
    for part in (context.system_disk or {}).get("partitions") or []:
        if device and part["node"] == device:
            found: Mapping[str, Any] = part
            return found
    return None


def seed_of(run_id: str, host: str) -> str:
    """Return the seed of every id on the new disk: hosts of one run must not share them."""
    return f"{run_id}/{host}"
