# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of boot loaders, slot state and the one-shot boot entry."""

from __future__ import annotations

from .fault import FaultKind

STATE_LOST = FaultKind(
    id="boot.state_lost",
    phase="boot",
    what="Neither copy of the slot state below {mount} can be read: {problems}",
    why="The dispatcher then boots the slots in their usual order and counts no tries.",
    how="Check that the dispatch partition is mounted there, and its file system with e2fsck -n. Then set"
    " every slot's state anew with the module slot_mark and the option initialize.",
)
STATE_UNWRITABLE = FaultKind(
    id="boot.state_unwritable",
    phase="boot",
    what="The slot state {path} could not be written: {problem}",
    why="Without it a new slot can be neither tried nor made permanent.",
    how="Check that the dispatch file system is mounted, writable and without errors in the kernel log; then"
    " run again. The slots themselves were not touched.",
)
LAST_SLOT = FaultKind(
    id="boot.last_slot",
    phase="boot",
    what="Slot {slot} is the last slot that may be booted, so it is not marked {state}",
    why="The host would start its recovery system next, which serves nobody.",
    how="Mark the other slot good or trying first; or set force if the recovery system is what you want.",
)
NOT_MOUNTED = FaultKind(
    id="boot.not_mounted",
    phase="boot",
    what="No dispatch file system is mounted at {mount}",
    why="The slot state lies on the dispatch partition of a dual-system host.",
    how="On a dual-system host run: mount {mount}. On any other host there is no slot state.",
)
REMOUNT = FaultKind(
    id="boot.remount",
    phase="boot",
    what="{mount} could not be mounted read-only again: {problem}",
    why="The slot state was written, but the file system stays writable, so a power cut may damage it.",
    how="Run: mount -o remount,ro {mount}. If it is busy, find the program with: fuser -vm {mount}.",
)
ARGUMENT_UNSAFE = FaultKind(
    id="boot.argument_unsafe",
    phase="boot",
    what="{argument!r} cannot be put into the configuration of GRUB",
    why="It holds a space, a quote, a dollar sign or another character that GRUB's parser changes.",
    how="Use only letters, digits and the characters . _ + - = , : / @ % ~ in names and kernel arguments.",
)
NO_BIOS_PARTITION = FaultKind(
    id="boot.no_bios_partition",
    phase="boot",
    what="The layout {layout} has no BIOS boot partition",
    why="On a GPT disk GRUB's core image lies there when the host starts by BIOS.",
    how="Add a partition of type bios_boot and 1 MiB or more to the layout, and build the bundle again.",
)
SECTOR_SIZE = FaultKind(
    id="boot.sector_size",
    phase="boot",
    what="A disk with sectors of {sector_bytes} bytes cannot be started by BIOS",
    why="BIOS and GRUB's boot sector know sectors of 512 bytes only.",
    how="Start the host by UEFI, or migrate to a disk with 512-byte logical sectors.",
)
CORE_TOO_LARGE = FaultKind(
    id="boot.core_too_large",
    phase="boot",
    what="GRUB's core image takes {needed} bytes and the BIOS boot partition has {room}",
    why="The dispatcher's modules are part of the core image, so that no file system is needed for them.",
    how="Give the partition of type bios_boot 1 MiB or more in the layout, and build the bundle again.",
)
WRITE_FAILED = FaultKind(
    id="boot.write_failed",
    phase="boot",
    what="Writing sector {sector} of {node} failed: {problem}",
    why="The boot loader is written in place and read back; the disk did not keep it.",
    how="Look at the kernel log for input/output errors and at the disk's health with smartctl. The step is"
    " repeated; replace the disk if it fails again.",
)
READ_FAILED = FaultKind(
    id="boot.read_failed",
    phase="boot",
    what="Reading sector {sector} of {node} failed: {problem}",
    why="What is on the disk is checked before and after the boot loader is written.",
    how="Look at the kernel log for input/output errors and at the disk's health with smartctl.",
)
NO_PROTECTIVE_MBR = FaultKind(
    id="boot.no_protective_mbr",
    phase="seal",
    what="The first sector of {node} is not the protective MBR of a GPT disk",
    why="The new partition table is not there, or another program has written to the disk since.",
    how="Look at the disk with sgdisk --print {node}; run the phase partition again before the switch.",
)
NO_BOOT_RECORD = FaultKind(
    id="boot.no_boot_record",
    phase="load",
    what="No BIOS starts this host from {node}: its first sector {problem}",
    why="Control is switched by the boot code in that sector. Where it has none, the firmware starts another disk, and "
    "after a power cut would go on doing so.",
    how="Find the disk that the firmware starts (its setup shows the order), install the boot loader on the system "
    "disk (grub-install {node}), make it the first, reboot once to prove it, and run again. Nothing was changed.",
)
LIFEBOAT_CORE = FaultKind(
    id="boot.lifeboat_core",
    phase="partition",
    what="The lifeboat's boot loader at sector {sector} of {node} cannot be used: {problem}",
    why="It is what starts the machine after a power cut; control is switched to it only when it is whole.",
    how="Look at the kernel log for errors of the disk; if there are none, run again from the staging. The old "
    "system is untouched.",
)
KERNEL_IN_PIECES = FaultKind(
    id="boot.kernel_in_pieces",
    phase="load",
    what="The lifeboat's kernel lies in {pieces} pieces on the disk",
    why="GRUB loads a kernel by its place only where it is one piece.",
    how="Free some contiguous space on the old root file system, or use another lifeboat place, and run again from "
    "the staging.",
)
NO_CORE = FaultKind(
    id="boot.no_core",
    phase="seal",
    what="There is no GRUB core image at sector {sector} of {node}",
    why="The boot sector would jump into nothing; control is switched only when all it leads to is there.",
    how="Run the phase boot again, which writes the core image, and then the switch.",
)
NO_KERNEL = FaultKind(
    id="boot.no_kernel",
    phase="boot",
    what="The new system below {root} has no kernel with its initramfs",
    why="{found}",
    how="Add a kernel package to the payload (for Debian linux-image-amd64 or linux-image-cloud-amd64, with"
    " initramfs-tools), and build the bundle again.",
)
RECOVERY_DAMAGED = FaultKind(
    id="boot.recovery_damaged",
    phase="boot",
    what="{file} for the recovery system has the digest {found}, not {wanted}",
    why="It was damaged between staging and now; a recovery system that does not start is worse than none.",
    how="Run the migration again from the staging; if it happens again, test the memory of the host.",
)
NO_LOADER = FaultKind(
    id="boot.no_loader",
    phase="stage",
    what="No GRUB 2 was found on this host: {problem}",
    why="The convert kernel is started by a one-shot entry of the boot loader that the host has.",
    how="Install GRUB 2 on the host first (grub-install and grub-mkconfig), reboot it once to prove it, and run again.",
)
ONE_SHOT_UNSUPPORTED = FaultKind(
    id="boot.one_shot_unsupported",
    phase="stage",
    what="The boot loader of this host cannot start an entry just once: {problem}",
    why="An entry that repeats would start the conversion again and again instead of the old system.",
    how="Correct that on the host: GRUB must read its environment from ext4 or XFS on a plain partition, and a"
    " grub.cfg as grub-mkconfig writes it knows next_entry and custom.cfg. Then run again.",
)
NOT_ARMED = FaultKind(
    id="boot.not_armed",
    phase="stage",
    what="The one-shot entry was set to {wanted!r} but reads back as {found!r}",
    why="The host would start its old system at the next reboot.",
    how="Run by hand: {tool} {wanted}, and look at the output of: {editenv} {environment} list.",
)
NO_SPACE = FaultKind(
    id="boot.no_space",
    phase="stage",
    what="{directory} needs {needed} more bytes and has {free} free",
    why="Kernel, initramfs and payload are put on the host before it is rebooted.",
    how="Free that space (old kernels, package caches, logs) and run again; what was copied is kept.",
)
SOURCE_MISSING = FaultKind(
    id="boot.source_missing",
    phase="stage",
    what="{file} is not at {source}",
    why="The system said: {problem}",
    how="Check the address of the bundle from this host, or copy the file there, then run again.",
)
SOURCE_DAMAGED = FaultKind(
    id="boot.source_damaged",
    phase="stage",
    what="{file} from {source} has the digest {found}, not {wanted} as the bundle says",
    why="It was damaged on the way or does not belong to this bundle. Nothing of it was kept.",
    how="Check the bundle's files with sha256sum where they are served from, then run again.",
)
CAPTURE_MISSING = FaultKind(
    id="boot.capture_missing",
    phase="stage",
    what="The capture {path} cannot be used: {problem}",
    why="Stage two needs it to be reachable under the host's own addresses and keys.",
    how="Run the phase capture first; it leaves the file on the host.",
)
NVRAM_UNWRITABLE = FaultKind(
    id="boot.nvram_unwritable",
    phase="load",
    what="The firmware did not take {what}: {problem}",
    why="On a UEFI host the firmware's own variables say which loader is started first.",
    how="Free room in the firmware's variable store (old boot entries: efibootmgr; crash records:"
    " /sys/fs/pstore) or reset it in the firmware settings, then run again.",
)
ESP_MISSING = FaultKind(
    id="boot.esp_missing",
    phase="load",
    what="{node} has no EFI system partition at the place that the plan names: {problem}",
    why="What starts the host during the conversion, and after it, lies on that partition.",
    how="Run preflight again, so that a new plan is made of the disk as it is now.",
)
ESP_UNWRITABLE = FaultKind(
    id="boot.esp_unwritable",
    phase="load",
    what="{path} could not be written on the EFI system partition: {problem}",
    why="What starts the host during the conversion, and after it, lies on that partition.",
    how="Look for errors of the disk in the kernel log; check the partition with fsck.vfat and its free space"
    " with df, then run again.",
)
LIFEBOAT_FILES = FaultKind(
    id="boot.lifeboat_files",
    phase="partition",
    what="{path} on the EFI system partition is not what was written there for the lifeboat",
    why="The lifeboat would not start after a power cut, so control was not taken.",
    how="Check the partition with fsck.vfat and the kernel log for errors of the disk, then stage and migrate again.",
)
UEFI_LOADER_MISSING = FaultKind(
    id="boot.uefi_loader_missing",
    phase="load",
    what="The convert environment has no loader for UEFI at {path}",
    why="The bundle was built by an older version of the collection.",
    how="Build the bundle again with playbooks/build.yml, and stage it anew.",
)

KINDS = (
    STATE_LOST,
    STATE_UNWRITABLE,
    LAST_SLOT,
    NOT_MOUNTED,
    REMOUNT,
    ARGUMENT_UNSAFE,
    NO_BIOS_PARTITION,
    SECTOR_SIZE,
    CORE_TOO_LARGE,
    WRITE_FAILED,
    READ_FAILED,
    NO_PROTECTIVE_MBR,
    NO_BOOT_RECORD,
    LIFEBOAT_CORE,
    KERNEL_IN_PIECES,
    NO_CORE,
    NO_KERNEL,
    RECOVERY_DAMAGED,
    NO_LOADER,
    ONE_SHOT_UNSUPPORTED,
    NOT_ARMED,
    NO_SPACE,
    SOURCE_MISSING,
    SOURCE_DAMAGED,
    CAPTURE_MISSING,
    NVRAM_UNWRITABLE,
    ESP_MISSING,
    ESP_UNWRITABLE,
    LIFEBOAT_FILES,
    UEFI_LOADER_MISSING,
)
