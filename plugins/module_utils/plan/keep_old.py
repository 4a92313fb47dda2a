# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the old system of a host can be kept bootable until ``commit``, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..layout.kept_old import ID, OldRoot
from ..layout.resolve import partition_uuids
from ..units import MIB, align_up, format_size
from .content import SAFE_ARGUMENT
from .context import Context, seed_of, system_partition

#: Free bytes that the old system keeps to run on: logs, temporary files, its journal.
SPARE_BYTES = 256 * MIB
#: Of a file system, inode tables and the like take about this share; statvfs(2) does not count them.
METADATA_SHARE = 0.05
_LINUX_SECTOR = 512
#: The partitions of the layouts that come with the collection.
_SHIPPED_IDS = ("bios", "esp", "dispatch", "system", "va", "vb")


def doubts(context: Context) -> Iterator[str]:
    """Yield every reason for which the old system of this host cannot be kept; the layout's own come later."""
    facts, root = context.facts, context.root
    part = system_partition(context)
    old = facts.get("old_system") or {}
    if facts.get("firmware") != "bios":
        yield "the host is started by UEFI, for which this version does not keep the old system"
    if part is None or list(root.get("stack") or []) != ["part"]:
        yield f"the old root lies on {' on '.join(root.get('stack') or ['something unknown'])}, not on a partition"
        return
    if root.get("fstype") not in ("ext3", "ext4", "xfs"):
        yield f"the old root is {root.get('fstype') or 'unknown'}"
    if (facts.get("boot") or {}).get("mount", "/") != "/":
        yield "/boot is a file system of its own"
    if not root.get("uuid"):
        yield "the old root has no UUID, by which it could be found"
    if not old:
        yield "nothing is known of how it was started"
    elif old.get("doubt"):
        yield str(old["doubt"])
    unsafe = [word for word in old.get("arguments") or [] if not SAFE_ARGUMENT.fullmatch(word)]
    if unsafe:
        yield "its kernel arguments hold characters that a boot loader would change"
    yield from _references(context, part, old)
    yield from _neighbours(context, part)


def old_root(context: Context) -> OldRoot | None:
    """Return the old root as ``layout.resolve`` wants it, None where there are doubts."""
    part, disk = system_partition(context), context.system_disk
    if part is None or disk is None or any(doubts(context)):
        return None
    sector = int(disk.get("logical_sector_bytes") or _LINUX_SECTOR)
    gpt = disk.get("table") == "gpt"
    return OldRoot(
        number=int(part["number"]),
        start=int(part["start_lba"]) * sector,
        length=int(part["sectors"]) * sector,
        least=least_bytes(context),
        shrinkable=context.root.get("fstype") == "ext4",
        partuuid=str(part["uuid"]).upper() if gpt else "",
        type_guid=str(part["type"]).upper() if gpt else "",
        name=str(part.get("name") or "") if gpt else "",
        attributes=_bits(part) if gpt else (),
    )


def least_bytes(context: Context) -> int:
    """Return what the file system of the old root must hold when stage two makes it smaller.

    Beside what is used now, what is staged on it, the lifeboat in it, and room to run on.
    """
    from ..lifeboat.model import needed_bytes, sizes_of
    from .checks.room import staged_on_root

    root = context.root
    used = int(root.get("size_bytes") or 0) - int(root.get("free_bytes") or 0)
    lifeboat = needed_bytes(sizes_of(context.manifest)) if context.options.lifeboat != "none" else 0
    needed = used + staged_on_root(context) + lifeboat + SPARE_BYTES
    return align_up(int(needed * (1 + METADATA_SHARE)), MIB)


def to_plan(context: Context) -> dict[str, Any] | None:
    """Return the ``keep_old`` of a plan; None where the old system goes."""
    kept = [one for one in (context.layout or {}).get("until_commit") or [] if one["id"] == ID]
    part, disk = system_partition(context), context.system_disk
    if not kept or part is None or disk is None:
        return None
    sector = int((context.layout or {})["sector_bytes"])
    old = context.facts["old_system"]
    return {
        "uuid": context.root["uuid"],
        "fstype": context.root["fstype"],
        "number": kept[0]["number"],
        "start": kept[0]["start_lba"] * sector,
        "length": kept[0]["sectors"] * sector,
        "was": int(part["sectors"]) * sector,
        "kernel": old["kernel"],
        "initrd": old["initrd"],
        "arguments": [*old["arguments"], *_without_swap(context)],
        "title": str((context.facts.get("os") or {}).get("pretty_name") or "the old system"),
        "wish": context.options.keep_old,
    }


def left_of_trial(context: Context) -> frozenset[str]:
    """Return the UUIDs of partitions that an earlier run laid beside the old system that runs now.

    Its new system failed its trial; what is left of it is this project's own, and nobody's loss. The run
    decides the UUIDs (``layout.resolve``), so no partition of somebody else is taken for one of them.
    """
    run_id = str((context.facts.get("old_system") or {}).get("run_id") or "")
    if not run_id:
        return frozenset()
    ids = {part["id"] for part in (context.layout or {}).get("partitions") or []} | {*_SHIPPED_IDS}
    return partition_uuids(seed_of(run_id, context.options.host), sorted(ids))


def describe(plan: Mapping[str, Any]) -> str:
    """Return in words what happens to the old root, for a finding."""
    was, length = int(plan["was"]), int(plan["length"])
    if length < was:
        return f"it is made smaller, from {format_size(was)} to {format_size(length)}, while stage two runs"
    return f"it stays as it is, with {format_size(was)}"


def _references(context: Context, part: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    """A table that becomes a GPT gives its partitions other ids of their own; file systems keep theirs."""
    if (context.system_disk or {}).get("table") == "gpt":
        return
    named = [word.partition("=")[2] for word in old.get("arguments") or [] if word.startswith("root=")]
    named += [line["spec"] for line in old.get("fstab") or [] if line["target"] == "/"]
    for one in named:
        if one.startswith(("PARTUUID=", "/dev/disk/by-partuuid/", "PARTLABEL=", "/dev/disk/by-partlabel/")):
            yield f"it finds its root as {one}, which changes with the partition table"
            return


def _neighbours(context: Context, part: Mapping[str, Any]) -> Iterator[str]:
    """What it mounts from other partitions of the disk goes, and then it would not come up."""
    for other in (context.system_disk or {}).get("partitions") or []:
        mounted = [one for one in other.get("mounts") or [] if str(one).startswith("/")]
        if other["node"] != part["node"] and mounted:
            yield f"it mounts {other['node']} at {', '.join(mounted)}, which is not kept"


def _without_swap(context: Context) -> list[str]:
    """Its swap partition goes: systemd is told not to wait for it (kernel-command-line(7)), nor the initramfs."""
    kinds = [other.get("fstype") for other in (context.system_disk or {}).get("partitions") or []]
    return ["systemd.swap=0", "noresume"] if "swap" in kinds or "swsuspend" in kinds else []


def _bits(part: Mapping[str, Any]) -> tuple[int, ...]:
    value = int(str(part.get("attributes") or "0"), 16)
    return tuple(bit for bit in range(64) if value >> bit & 1)
