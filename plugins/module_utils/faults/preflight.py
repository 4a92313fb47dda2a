# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight can find, by severity; a refusal keeps the host as it is.

Warnings and notes have the same shape, so that one record serves console, report and docs; what the
capture and the layout have to say is declared by them and shown beside these.
"""

from __future__ import annotations

from .fault import FaultKind
from .firmware import REFUSALS as FIRMWARE


def _kind(name: str, what: str, why: str, how: str) -> FaultKind:
    return FaultKind(id=f"preflight.{name}", phase="preflight", what=what, why=why, how=how)


NOT_ROOT = _kind(
    "not_root",
    "The login has no root rights on the host",
    "Reading the disk and staging files need root; the probe ran as an ordinary user.",
    "Set ansible_become: true (and ansible_become_password where sudo asks), or log in as root.",
)
ARCHITECTURE = _kind(
    "architecture_unsupported",
    "The host is {found}, and this version converts x86_64 only",
    "The convert kernel, the boot loader and the interpreter are built for one architecture.",
    "Take the host out of the inventory group; there is no bundle that could convert it yet.",
)
BUNDLE_ARCHITECTURE = _kind(
    "bundle_architecture",
    "The bundle is for {bundle}, the host is {found}",
    "A kernel of another architecture does not start; the host would stay dark.",
    "Point dualroot_bundle at a bundle built for {found}.",
)
DISK_DOUBT = _kind(
    "system_disk_doubt",
    "It is not certain which disk is the system disk: {doubt}",
    "The whole disk will be rewritten, so it must be the right one without any doubt.",
    "Set dualroot_disk for this host to the stable id (serial, WWN or /dev/disk/by-id name) of the disk"
    " to convert; its disks are: {disks}.",
)
DISK_UNKNOWN = _kind(
    "disk_unknown",
    "dualroot_disk names {wanted}, and the host has no such disk",
    "The name matches no device, serial, WWN or /dev/disk/by-id link of the host.",
    "Set dualroot_disk to one of: {disks}.",
)
DISK_AMBIGUOUS = _kind(
    "disk_ambiguous",
    "dualroot_disk names {wanted}, which matches more than one disk: {matches}",
    "Two disks share this id, so it does not tell them apart.",
    "Set dualroot_disk to an id that only one disk has; the disks are: {disks}.",
)
DISK_NOT_SYSTEM = _kind(
    "disk_not_system",
    "dualroot_disk names {wanted}, and the root file system is on {system}",
    "The migration converts the disk that the old system boots from; another disk would be erased for nothing.",
    "Remove dualroot_disk or set it to the disk under /, which is {system}.",
)
DISK_READ_ONLY = _kind(
    "disk_read_only",
    "The system disk {disk} is read-only",
    "The kernel or the hypervisor forbids writing to it.",
    "Lift the write protection (hypervisor setting, jumper, blockdev --setrw), then run again.",
)
DISK_NO_IDENTITY = _kind(
    "disk_not_identifiable",
    "The system disk {disk} cannot be told from {twin} after a reboot",
    "Both have the same serial, WWN, size, table id and root file system id, and device names may change places.",
    "Detach {twin} for the migration, or give its partition table a new id (sgdisk -G, or sfdisk --disk-id).",
)
ROOT_UUID_TWICE = _kind(
    "root_uuid_twice",
    "The id {uuid} of the root file system also exists on {twin}",
    "A clone of the root is attached; booting by UUID may take either of the two.",
    "Detach the clone, or give it a new id (tune2fs -U random, xfs_admin -U generate), then run again.",
)
ROOT_STACK = _kind(
    "root_stack_unsupported",
    "The root file system lies on {stack}",
    "Stage two reads the payload from the old root, and this version can do that on a plain partition only.",
    "Leave the host as it is until {stack} is supported, or move its root to a plain partition first.",
)
ROOT_FILE_SYSTEM = _kind(
    "root_filesystem_unsupported",
    "The root file system is {fstype}",
    "Stage two and GRUB must both read it safely; this version does so on ext3, ext4 and XFS.",
    "Leave the host as it is until {fstype} is supported.",
)
SEPARATE_BOOT = _kind(
    "separate_boot_unsupported",
    "/boot is a file system of its own on {device}",
    "Stage two looks for kernel and initramfs on the root file system in this version.",
    "Copy /boot into the root file system, remove its fstab line, run update-grub (or grub2-mkconfig) and"
    " grub-install, reboot once, and run again.",
)
OTHER_MOUNT = _kind(
    "other_mount",
    "{target} is mounted from {device} on the disk that will be rewritten",
    "Everything on this disk is erased; only what is captured is carried over.",
    "Move the data to another disk or machine, unmount {target} and take it out of /etc/fstab; or add"
    " {target}"
    " to dualroot_discard to agree that it is lost.",
)
HELD_PARTITION = _kind(
    "held_partition",
    "{device} on the disk that will be rewritten belongs to {holder}",
    "Tearing it down would destroy data that may be in use or span other disks.",
    "Move the data off {device} and remove it from {holder} (vgreduce, mdadm --remove, cryptsetup"
    " close), then"
    " run again.",
)
GROUP_NAME_TAKEN = _kind(
    "group_name_taken",
    "A volume group named {group} exists already, on {disks}, and the layout makes one of this name",
    "Two groups of one name cannot be told apart, by LVM and by the initramfs of the new system at every start.",
    "Rename the other group (vgrename {group} NAME) and what refers to it, or detach its disk, or name the group of"
    " the layout otherwise (dualroot_layout).",
)
SLOT_TOO_SMALL = _kind(
    "slot_too_small",
    "The payload unpacks to {payload}, and the root volume of slot {slot} has {room}; {missing} are missing",
    "A file system needs about a tenth of its size for itself, and the new system needs room to work.",
    "Choose a layout with a larger root volume (dualroot_layout), a larger disk, or a smaller payload.",
)
DISPATCH_TOO_SMALL = _kind(
    "dispatch_too_small",
    "The dispatch partition of the layout has {size}, of which files can take {room}, and stage two needs {needed};"
    " {missing} are missing",
    "The convert kernel and initramfs ({environment}) become the recovery system there: out of a lifeboat by way of a"
    " second copy, and beside what they replace when the step is made again. Without room the host would be held behind"
    " the point of no return.",
    "Give the partition {partition} of the layout (dualroot_layout) at least {least}; the shipped layouts have 1 GiB.",
)
MEMORY = _kind(
    "memory_too_small",
    "Stage two will need {needed} of memory at its peak, and the host has {found}; {missing} are missing",
    "It holds its own system ({environment}) and the payload ({payload}) in memory while it rewrites the disk.",
    "Give the host {missing} more memory, at least for the migration, or build a bundle with a smaller payload.",
)
STAGING_SPACE = _kind(
    "staging_space",
    "{directory} needs {needed} and its file system has {free} free; {missing} are missing",
    "Payload, kernel, initramfs and the evidence of the run are staged there before the reboot, and 5 % of the file"
    " system, 256 MiB at most, stay free for the host's own work.",
    "Delete what is no longer needed on the old system (package caches, old kernels, old logs), then run again.",
)
BOOT_SPACE = _kind(
    "boot_space",
    "/boot needs {needed} and its file system has {free} free; {missing} are missing",
    "The boot loader reads the convert kernel and initramfs from there.",
    "Remove old kernels from /boot with the package manager of the host, then run again.",
)
STAGING_ELSEWHERE = _kind(
    "staging_elsewhere",
    "{directory} is on {device} ({fstype}), which stage two cannot read",
    "Stage two finds the payload on the root file system of the system disk.",
    "Unmount what covers {directory}, or move it aside, so that it lies on the root file system.",
)
BOOT_LOADER = _kind(
    "boot_loader_unsupported",
    "The boot loader is {found}, and this version arms GRUB 2 only",
    "Stage two is entered by a one-shot boot entry, which needs GRUB's environment block.",
    "Install GRUB 2 on the host, check that it still boots, and run again; or leave the host as it is.",
)
NEXT_ENTRY = _kind(
    "one_shot_unsupported",
    "{config} does not act on next_entry",
    "Without it GRUB never boots the one-shot entry, or a saved default would have to be changed, which is not done.",
    "Regenerate the configuration with the host's own tool (update-grub, or grub2-mkconfig -o"
    " {config}); on old"
    " releases set GRUB_DEFAULT=saved in /etc/default/grub first.",
)
CUSTOM_CFG = _kind(
    "custom_cfg_not_read",
    "{config} does not read custom.cfg",
    "The convert entry is kept in a file of its own, and GRUB would not see it.",
    "Make /etc/grub.d/41_custom executable and regenerate {config} (update-grub, or grub2-mkconfig).",
)
ENVIRONMENT = _kind(
    "environment_not_writable",
    "GRUB cannot write its environment block {environment}: {doubt}",
    "A one-shot entry that GRUB cannot clear would boot stage two again and again.",
    "Put {environment} on ext4 or XFS on a plain partition and create it with grub-editenv create, then run again.",
)
REBOOT_TOOL = _kind(
    "reboot_tool_missing",
    "The host has neither grub-reboot nor grub-editenv (nor their grub2 names)",
    "The one-shot entry is set with the host's own GRUB tools.",
    "Install the package that brings them (grub2-common, grub2-tools-minimal), then run again.",
)
FOREIGN_NEXT_ENTRY = _kind(
    "foreign_next_entry",
    "A one-shot boot of {entry} is already pending",
    "Somebody else has arranged the next boot; overwriting it might undo their work.",
    "Ask who arranged it; let it happen (reboot once) or take it back with grub-editenv - unset next_entry.",
)
DISK_DRIVER = _kind(
    "disk_driver_missing",
    "The convert kernel has no driver for {device} ({driver}, {modalias}), which the system disk needs",
    "Stage two would not find the disk and go back to the old system; nothing would be gained.",
    "Build a bundle whose convert kernel carries the driver (the full instead of the cloud kernel).",
)
NIC_DRIVER = _kind(
    "nic_driver_missing",
    "The convert kernel has no driver for the network interface {device} ({driver}, {modalias})",
    "Stage two could not be reached over this interface.",
    "Build a bundle whose convert kernel carries the driver (the full instead of the cloud kernel).",
)
NO_INTERFACE = _kind(
    "no_interface",
    "No network interface with an address or DHCP was found to carry over",
    "Stage two and the new system could not be reached.",
    "Look at ip addr and at the network configuration on the host: at least one ethernet interface must be configured"
    " and present.",
)
LOGIN_MISSING = _kind(
    "login_user_missing",
    "The login user {user} is not among the accounts that are carried over",
    "Nobody could log in to stage two or to the new system with it; accounts of a directory service are not carried.",
    "Log in with an account that is in /etc/passwd of the host (ansible_user), with a key or a password.",
)
LOGIN_LOCKED = _kind(
    "login_user_without_credentials",
    "The login user {user} has neither a password nor an authorized key that could be carried over",
    "Stage two and the new system would refuse the login; its key may come from somewhere else than a file.",
    "Put a public key into .ssh/authorized_keys of {user} on the host, or set a password, then run again.",
)
ADDRESS = _kind(
    "address_invalid",
    "{interface} has {address}, which is no usable interface address",
    "It would be written into the new system's configuration as it stands.",
    "Correct the address and its prefix length in the host's network configuration.",
)
NO_ROOM = _kind(
    "lifeboat_no_room",
    "There is no room for a lifeboat: it needs {needed}, {found} can be promised, {missing} are missing",
    "{reason}",
    "To make room: {remedy}.",
)
KEEP_OLD = _kind(
    "keep_old_impossible",
    "dualroot_keep_old is required, and the old system of this host cannot be kept: {reasons}",
    "It can be kept where its root is a plain partition and the layout leaves its place alone until commit.",
    "Remove what stands in the way, or set dualroot_keep_old: auto and take a snapshot instead (dualroot_snapshot).",
)
BOOT_METHOD = _kind(
    "boot_method_unsupported",
    "dualroot_boot_method is {method}, and this version knows reboot only",
    "Stage two is entered through the firmware and the boot loader.",
    "Set dualroot_boot_method: reboot.",
)
SNAPSHOT_PROVIDER = _kind(
    "snapshot_provider",
    "The snapshot provider {provider} cannot be used: {reason}",
    "The host must be restorable in the way that the operator asked for, or not be touched.",
    "Set dualroot_snapshot to none, archive or command (roles/snapshot/README.md says what each needs).",
)

LOCKDOWN = _kind(
    "lockdown",
    "The running kernel is locked down ({mode})",
    "Some probes see less than they should, and kexec is not possible.",
    "Nothing has to be done when the host is rebooted through its boot loader.",
)
PARTITION_LOST = _kind(
    "partition_lost",
    "{device} ({fstype}, {size}) is not mounted and will be erased",
    "The whole disk gets a new partition table.",
    "Look into it before going on: mount it read-only, and copy what is still needed to another machine.",
)
MOUNT_DISCARDED = _kind(
    "mount_discarded",
    "{target} on {device} will be erased, as dualroot_discard says",
    "The whole disk gets a new partition table.",
    "Take {target} out of dualroot_discard if its data is still needed.",
)
WEAK_IDENTITY = _kind(
    "disk_weak_identity",
    "The system disk {disk} has neither a serial nor a WWN",
    "It will be recognised by size, table id and root file system id instead, and refused in case of doubt.",
    "Give the virtual disk a serial in the hypervisor if you want it named in the report.",
)
MEMORY_TIGHT = _kind(
    "memory_tight",
    "Stage two will use {needed} of {found} memory at its peak",
    "Less than a tenth is left for what was not foreseen.",
    "Give the host more memory for the migration, or rehearse first: a rehearsal measures the real need.",
)
BUS_DRIVER = _kind(
    "bus_driver_missing",
    "The convert kernel has no module for {device} ({driver}, {modalias})",
    "It may be built in or not needed; a rehearsal shows it without risk.",
    "Rehearse this host before migrating it.",
)
OTHER_ADDRESS = _kind(
    "reached_by_other_address",
    "The controller reaches the host at {address}, which is not among the addresses that are carried over",
    "It may be a translated, floating or DHCP address; if it is not, the controller would wait in vain.",
    "Rehearse first: a rehearsal proves the network before anything is written. With an address given"
    " by DHCP,"
    " make sure that the lease is fixed.",
)
EARLIER_RUN = _kind(
    "earlier_run_staged",
    "An earlier run has armed its one-shot entry on this host",
    "It was neither converted nor disarmed.",
    "Nothing has to be done: staging replaces it. To take it back, run the disarm playbook.",
)
NO_LIFEBOAT = _kind(
    "no_lifeboat",
    "There will be no lifeboat",
    "A power cut between the point of no return and the end of stage two leaves the host without a system.",
    "Take a snapshot (dualroot_snapshot), and convert hosts that nobody can reach by hand last.",
)
NO_ROOM_AUTO = _kind(
    "lifeboat_left_out",
    "There will be no lifeboat: it needs {needed}, {found} can be promised, {missing} are missing",
    "{reason} dualroot_lifeboat is auto, so the payload is held in memory instead, and a power cut between the point"
    " of no return and the end of stage two leaves the host without a system.",
    "To make room: {remedy}. Otherwise take a snapshot (dualroot_snapshot).",
)
LIFEBOAT_TIGHT = _kind(
    "lifeboat_tight",
    "The lifeboat needs {needed}, and for certain it finds {places}; {missing} more are likely, not certain",
    "What is staged beside it, and what stays free for the old system, may lie in the blocks that it could use; only"
    " staging shows where. Where the room is missing, staging says so and gives everything back.",
    "Free at least {missing} on the old root (package caches, old kernels, old logs), or rehearse first.",
)
HIBERNATED = _kind(
    "hibernation_image",
    "{device} holds the image of a hibernated system",
    "It may be resumed by mistake, so nothing is written there before the point of no return, and the lifeboat does"
    " not use it.",
    "Make it swap again (swapoff, mkswap, swapon) if the image is of no use; it is erased with the whole disk.",
)
UNATTENDED = _kind(
    "unattended",
    "Stage two will not wait for the controller's go",
    "dualroot_attended is false, so nothing proves that stage two is reachable before the first write.",
    "Set dualroot_attended: true wherever the controller can reach the host over its own address.",
)

UNSIGNED = _kind(
    "unsigned",
    "Nobody's signature stands behind the bundle",
    "dualroot_allow_unsigned is true, so neither the controller nor the host nor stage two asks who built what "
    "replaces the system; sizes and digests are still checked.",
    "Sign the bundle with the playbook build and name the certificate in dualroot_trusted_keys.",
)

SWAP_LOST = _kind(
    "swap_lost",
    "The swap on {device} will be erased",
    "The layout decides about swap on the new system.",
    "Nothing has to be done; take it out of the layout's reckoning of memory.",
)
TABLE_REPLACED = _kind(
    "table_replaced",
    "The {table} partition table becomes GPT",
    "GPT is used on BIOS and UEFI alike, and disks may exceed 2 TiB.",
    "Nothing has to be done; the old table is saved with the evidence of the run.",
)
INTERPRETER = _kind(
    "bundled_interpreter",
    "The bundle's own Python runs on this host",
    "The host has no Python that the modules could use; nothing was installed, it lives in its own folder.",
    "Nothing has to be done; disarm removes it.",
)

LIFEBOAT = _kind(
    "lifeboat",
    "The lifeboat needs {needed} and finds {places}",
    "Convert kernel, initramfs and payload lie there where neither the old system nor the new layout writes, so a"
    " power cut after the point of no return ends in stage two going on.",
    "Nothing has to be done; commit gives the place to the new system, disarm gives it back to the old one.",
)
OLD_KEPT = _kind(
    "old_kept",
    "The old system stays bootable until commit; {how_kept}",
    "A new system that fails its trial ends, by itself, in the old one: it is slot B until commit, which frees its"
    " place and makes the new slot B there.",
    "Nothing has to be done. A power cut while the old root is made smaller may leave the host without this fallback.",
)
OLD_NOT_KEPT = _kind(
    "old_not_kept",
    "The old system will not be kept: {reasons}",
    "dualroot_keep_old is auto, so the migration goes on without; the old root goes past the point of no return.",
    "Take a snapshot (dualroot_snapshot) of what must not be lost; dualroot_keep_old: none silences this note.",
)

REFUSALS: tuple[FaultKind, ...] = (
    NOT_ROOT, ARCHITECTURE, BUNDLE_ARCHITECTURE, *FIRMWARE,
    DISK_DOUBT, DISK_UNKNOWN, DISK_AMBIGUOUS, DISK_NOT_SYSTEM, DISK_READ_ONLY, DISK_NO_IDENTITY,
    ROOT_UUID_TWICE, ROOT_STACK, ROOT_FILE_SYSTEM, SEPARATE_BOOT, OTHER_MOUNT, HELD_PARTITION, GROUP_NAME_TAKEN,
    SLOT_TOO_SMALL, DISPATCH_TOO_SMALL, MEMORY, STAGING_SPACE, BOOT_SPACE, STAGING_ELSEWHERE,
    BOOT_LOADER, NEXT_ENTRY, CUSTOM_CFG, ENVIRONMENT, REBOOT_TOOL, FOREIGN_NEXT_ENTRY,
    DISK_DRIVER, NIC_DRIVER, NO_INTERFACE, ADDRESS, LOGIN_MISSING, LOGIN_LOCKED,
    NO_ROOM, KEEP_OLD, BOOT_METHOD, SNAPSHOT_PROVIDER,
)  # fmt: skip
WARNINGS: tuple[FaultKind, ...] = (
    LOCKDOWN, PARTITION_LOST, MOUNT_DISCARDED, WEAK_IDENTITY, MEMORY_TIGHT, BUS_DRIVER, OTHER_ADDRESS,
    EARLIER_RUN, NO_LIFEBOAT, NO_ROOM_AUTO, LIFEBOAT_TIGHT, HIBERNATED, UNATTENDED, UNSIGNED,
)  # fmt: skip
NOTES: tuple[FaultKind, ...] = (SWAP_LOST, TABLE_REPLACED, INTERPRETER, LIFEBOAT, OLD_KEPT, OLD_NOT_KEPT)

#: How a host ends that has refusing findings; it sums them up and is no finding itself.
REFUSED = _kind(
    "refused",
    "{count} finding(s) stand in the way: {ids}",
    "{reasons}",
    "{remedies} Nothing was changed on the host.",
)

KINDS: tuple[FaultKind, ...] = (*REFUSALS, *WARNINGS, *NOTES, REFUSED)
