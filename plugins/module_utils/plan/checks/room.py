# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory for stage two, space for staging, and room for what it writes: in the slot and on the dispatch file system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...boot.fetch import spare_bytes
from ...faults import preflight as kinds
from ...units import MIB, align_up, format_size
from ..context import STATE_DIRECTORY, Context
from ..finding import Finding, find
from ..predict import staged_boot_bytes

#: The host's own cpio, plan, capture, journal and evidence.
EVIDENCE_BYTES = 16 * MIB
#: A packed archive of the old root, as a share of what is used there; careful, as it may hold packed data.
ARCHIVE_SHARE = 0.6
#: On the dispatch file system beside the recovery system's kernel and initramfs: its part of the host, dispatcher, slot
#: state, records, and the evidence of some hundred updates.
DISPATCH_SMALL_BYTES = 8 * MIB
#: What an ext4 of ``volumes.filesystems`` does not give to files: the journal, and a tenth for inode tables and the 2 %
#: that it keeps even from root. Made and filled by root, those of 64 MiB to 1 GiB hold more: by 10 MiB and more on
#: sectors of 512 bytes, by nearly 2 MiB on such of 4096 bytes, where the journal has 16 MiB from 128 MiB on.
_EXT4_FIXED_BYTES = 16 * MIB
_EXT4_SHARE = 10


def check(context: Context) -> Iterator[Finding]:
    """Check memory, staging space and the sizes of the target root and of the dispatch partition."""
    yield from _memory(context)
    yield from _space(context)
    yield from _slot(context)
    yield from _dispatch(context)


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


def _dispatch(context: Context) -> Iterator[Finding]:
    layout = context.layout
    if layout is None:
        return
    partition = {part["id"]: part for part in layout["partitions"]}[layout["dispatch"]]
    size = int(partition["sectors"]) * int(layout["sector_bytes"])
    needed = dispatch_bytes(context.manifest, lifeboat=context.berth is not None and context.berth.used)
    room = ext4_room(size)
    if needed > room:
        yield find(
            kinds.DISPATCH_TOO_SMALL,
            partition=partition["id"],
            size=format_size(size),
            room=format_size(room),
            needed=format_size(needed),
            missing=format_size(needed - room),
            least=format_size(ext4_size(needed)),
            environment=format_size(staged_boot_bytes(context.manifest)),
        )


def dispatch_bytes(manifest: Mapping[str, Any], *, lifeboat: bool) -> int:
    """Return the most bytes of files that stage two has on the dispatch file system at one time.

    Kernel and initramfs become the recovery system (``boot.recovery_files``); those of a lifeboat are copied out of it
    first, onto the same file system (``stage_two.boot``). The step is made again after a cut or a fault, and then each
    of the two is written beside what it replaces.
    """
    larger = max(int(manifest["environment"][part]["size"]) for part in ("kernel", "initrd"))
    return staged_boot_bytes(manifest) * (2 if lifeboat else 1) + larger + DISPATCH_SMALL_BYTES


def ext4_room(size: int) -> int:
    """Return the bytes of files that an ext4 of ``size`` bytes holds at least."""
    return max(size - size // _EXT4_SHARE - _EXT4_FIXED_BYTES, 0)


def ext4_size(room: int) -> int:
    """Return the bytes, in whole MiB, of an ext4 that holds ``room`` bytes of files."""
    return align_up(-(-(room + _EXT4_FIXED_BYTES) * _EXT4_SHARE // (_EXT4_SHARE - 1)), MIB)


def slot_bytes(layout: Mapping[str, Any], slot: str) -> int | None:
    """Return the size of a slot's root volume in a resolved layout, or ``None`` where it has none."""
    root = ((layout.get("slots") or {}).get(slot) or {}).get("root")
    for group in layout.get("volume_groups") or []:
        for volume in group.get("volumes") or []:
            if volume["id"] == root:
                return int(volume["bytes"])
    return None
