# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The layout of the bundle resolved for the system disk of one host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faults import preflight as kinds
from ..faults.fault import Fault
from ..layout import loader, resolve
from ..layout.kept import Kept
from ..layout.kept_old import OldRoot
from .context import Context, seed_of, show_disks


def resolve_for(context: Context, layout_document: Mapping[str, Any], old: OldRoot | None = None) -> dict[str, Any]:
    """Return the resolved layout as a document, around the ``old`` root where that is kept.

    Raises ``Fault`` ``layout.*``. A disk that is in doubt is a fault too (``preflight.system_disk_doubt``).
    """
    layout = loader.load(layout_document)
    disk = context.system_disk
    if disk is None:
        doubt = context.facts.get("system_disk_doubt") or "no disk was chosen"
        raise Fault(kinds.DISK_DOUBT, doubt=doubt, disks=show_disks(context.disks))
    geometry = resolve.DiskGeometry(int(disk["size_bytes"]), int(disk.get("logical_sector_bytes") or 512))
    seed = seed_of(context.options.run_id, context.options.host)
    return resolve.resolve(layout, geometry, seed, kept_by(context), old).to_document()


def kept_by(context: Context) -> Kept | None:
    """Return the EFI system partition that stays, None on a BIOS host and where a finding says more."""
    esp, disk = context.facts.get("esp"), context.system_disk
    if context.facts.get("firmware") != "uefi" or not esp or disk is None:
        return None
    return Kept.from_facts(esp) if esp["disk"] == disk["name"] and esp["table"] == "gpt" else None
