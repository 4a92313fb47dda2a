# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory for stage two, space for staging, and room for the payload in its slot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...boot.fetch import spare_bytes
from ...faults import preflight as kinds
from ...units import MIB, format_size
from ..context import STATE_DIRECTORY, Context
from ..finding import Finding, find
from ..predict import staged_boot_bytes

#: The host's own cpio, plan, capture, journal and evidence.
EVIDENCE_BYTES = 16 * MIB
#: A packed archive of the old root, as a share of what is used there; careful, as it may hold packed data.
ARCHIVE_SHARE = 0.6


def check(context: Context) -> Iterator[Finding]:
    """Check memory, staging space and the size of the target root."""
    yield from _memory(context)
    yield from _space(context)
    yield from _slot(context)


def _memory(context: Context) -> Iterator[Finding]:
    found = int(context.facts.get("memory_bytes") or 0)
    needed = context.prediction.needed_ram_bytes
    if needed > found:
        yield find(
            kinds.MEMORY,
            needed=format_size(needed),
            found=format_size(found),
            missing=format_size(needed - found),
            environment=format_size(int(context.manifest["environment"]["unpacked_bytes"])),
            payload=format_size(int(context.manifest["payload"]["size"])),
        )
    elif needed > found * 0.9:
        yield find(kinds.MEMORY_TIGHT, needed=format_size(needed), found=format_size(found))


def staging_needs(context: Context) -> tuple[int, int]:
    """Return the bytes needed under the state directory and under /boot."""
    staged = int(context.manifest["payload"]["size"]) + EVIDENCE_BYTES
    if context.options.snapshot == "archive":
        used = int(context.root.get("size_bytes") or 0) - int(context.root.get("free_bytes") or 0)
        staged += int(max(used, 0) * ARCHIVE_SHARE)
    return staged, staged_boot_bytes(context.manifest) + EVIDENCE_BYTES


def staged_on_root(context: Context) -> int:
    """Return the bytes that staging puts on the root file system, where the lifeboat's file lies beside them."""
    staged, boot = staging_needs(context)
    same = (context.facts.get("boot") or {}).get("device") == context.root.get("device")
    return staged + boot if same else staged


def _space(context: Context) -> Iterator[Finding]:
    staged, boot = staging_needs(context)
    staged += spare_bytes(int(context.root.get("size_bytes") or 0))
    boot_facts = context.facts.get("boot") or {}
    free = int(context.root.get("free_bytes") or 0)
    if boot_facts.get("device") == context.root.get("device"):
        staged, boot = staged + boot, 0
    if staged > free:
        yield find(
            kinds.STAGING_SPACE,
            directory=STATE_DIRECTORY,
            needed=format_size(staged),
            free=format_size(free),
            missing=format_size(staged - free),
        )
    boot_free = int(boot_facts.get("free_bytes") or 0)
    if boot > boot_free:
        needed, missing = format_size(boot), format_size(boot - boot_free)
        yield find(kinds.BOOT_SPACE, needed=needed, free=format_size(boot_free), missing=missing)


def _slot(context: Context) -> Iterator[Finding]:
    if context.layout is None:
        return
    slot = context.options.slot
    room = slot_bytes(context.layout, slot)
    # Inodes, journal and reserved blocks of ext4 take about a tenth.
    needed = int(int(context.manifest["payload"]["unpacked_bytes"]) * 1.1)
    if room is not None and needed > room:
        yield find(
            kinds.SLOT_TOO_SMALL,
            payload=format_size(int(context.manifest["payload"]["unpacked_bytes"])),
            slot=slot,
            room=format_size(room),
            missing=format_size(needed - room),
        )


def slot_bytes(layout: Mapping[str, Any], slot: str) -> int | None:
    """Return the size of a slot's root volume in a resolved layout, or ``None`` where it has none."""
    root = ((layout.get("slots") or {}).get(slot) or {}).get("root")
    for group in layout.get("volume_groups") or []:
        for volume in group.get("volumes") or []:
            if volume["id"] == root:
                return int(volume["bytes"])
    return None
