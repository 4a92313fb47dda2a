# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What else lives on the disk that will be rewritten, and on what the root itself lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...faults import preflight as kinds
from ...units import format_size
from ..context import STATE_DIRECTORY, Context
from ..finding import Finding, find
from ..keep_old import left_of_trial

ROOT_FILE_SYSTEMS = ("ext3", "ext4", "xfs")
_STACK_WORDS = {
    "lvm": "an LVM logical volume",
    "md": "a software RAID array (md)",
    "raid": "a software RAID array (md)",
    "crypt": "an encrypted volume (LUKS)",
    "dm": "a device-mapper volume",
    "multipath": "a multipath device",
    "disk": "a whole disk without partitions",
    "loop": "a loop device",
}
#: Containers that blkid reports as a type; their content belongs to something else.
_MEMBERS = {
    "LVM2_member": "a volume group (LVM)",
    "linux_raid_member": "a software RAID array (md)",
    "crypto_LUKS": "an encrypted volume (LUKS)",
    "zfs_member": "a ZFS pool",
    "bcache": "a bcache set",
}


def check(context: Context) -> Iterator[Finding]:
    """Check the root's own stack, and every other partition of the system disk."""
    yield from _root_stack(context)
    yield from _staging(context)
    disk = context.system_disk
    kept = (context.facts.get("esp") or {}).get("node")
    ours = left_of_trial(context)
    for partition in (disk or {}).get("partitions") or []:
        if str(partition.get("uuid") or "").lower() in ours:
            continue
        if partition["node"] not in (context.root.get("device"), kept):
            yield from _partition(context, disk or {}, partition)
    yield from _groups(context)


def _groups(context: Context) -> Iterator[Finding]:
    """Find groups of the layout's names on other disks; those of the system disk go with its partitions."""
    planned = {group["name"] for group in (context.layout or {}).get("volume_groups") or []}
    own = (context.system_disk or {}).get("name")
    for group in context.facts.get("volume_groups") or []:
        others = [node for node in group["disks"] if node != own]
        if group["name"] in planned and others:
            yield find(kinds.GROUP_NAME_TAKEN, group=group["name"], disks=", ".join(others))


def _root_stack(context: Context) -> Iterator[Finding]:
    root = context.root
    unsupported = [_STACK_WORDS.get(layer, layer) for layer in root.get("stack") or [] if layer != "part"]
    if unsupported or not root.get("stack"):
        yield find(kinds.ROOT_STACK, stack=" on ".join(unsupported) or "something that was not recognised")
    elif root.get("fstype") not in ROOT_FILE_SYSTEMS:
        yield find(kinds.ROOT_FILE_SYSTEM, fstype=root.get("fstype") or "unknown")
    boot = context.facts.get("boot") or {}
    if boot.get("mount", "/") != "/":
        yield find(kinds.SEPARATE_BOOT, device=boot.get("device"))


def _staging(context: Context) -> Iterator[Finding]:
    covering = mount_of(context.facts.get("mounts") or [], f"{STATE_DIRECTORY}/stage")
    if covering is not None and covering["target"] != "/":
        device, fstype = covering.get("device"), covering.get("fstype")
        yield find(kinds.STAGING_ELSEWHERE, directory=STATE_DIRECTORY, device=device, fstype=fstype)


def mount_of(mounts: list[Mapping[str, Any]], path: str) -> Mapping[str, Any] | None:
    """Return the mount that holds ``path``: the one with the longest target above it."""
    above = [mount for mount in mounts if _folder(path).startswith(_folder(mount["target"]))]
    return max(above, key=lambda mount: len(mount["target"]), default=None)


def _folder(target: str) -> str:
    return target if target.endswith("/") else f"{target}/"


def _partition(context: Context, disk: Mapping[str, Any], partition: Mapping[str, Any]) -> Iterator[Finding]:
    node, fstype = partition["node"], partition.get("fstype") or ""
    holders = [str(holder) for holder in partition.get("holders") or []]
    targets = [str(target) for target in partition.get("mounts") or []]
    mounted = [target for target in targets if target.startswith("/") and target != "/"]
    discard = context.options.discard
    if holders or fstype in _MEMBERS:
        if (
            "part" in (context.root.get("stack") or [])
            and len(context.root.get("stack") or []) > 1
            and (disk.get("name") == context.root.get("disk"))
        ):
            return  # the root's own stack, refused once already
        yield find(kinds.HELD_PARTITION, device=node, holder=", ".join(holders) or _MEMBERS[fstype])
    elif fstype == "swap":
        yield find(kinds.SWAP_LOST, device=node)
    elif mounted:
        for target in mounted:
            agreed = target in discard or node in discard
            yield find(kinds.MOUNT_DISCARDED if agreed else kinds.OTHER_MOUNT, target=target, device=node)
    elif fstype:
        size = format_size(int(partition.get("sectors") or 0) * int(disk.get("logical_sector_bytes") or 512))
        yield find(kinds.PARTITION_LOST, device=node, fstype=fstype, size=size)
