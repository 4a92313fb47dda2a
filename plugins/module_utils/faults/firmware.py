# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What preflight can find about UEFI firmware and the EFI system partition; all of these refuse."""

from __future__ import annotations

from .fault import FaultKind


def _kind(name: str, what: str, why: str, how: str) -> FaultKind:
    return FaultKind(id=f"preflight.{name}", phase="preflight", what=what, why=why, how=how)


SECURE_BOOT = _kind(
    "secure_boot",
    "Secure Boot is on",
    "The firmware would refuse the loader that this version writes, which carries no signature that it trusts.",
    "Switch Secure Boot off in the firmware settings, check that the host still boots, and run again.",
)
FIRMWARE_32 = _kind(
    "firmware_32_bit",
    "The UEFI firmware of the host is {bits}-bit",
    "It starts loaders of its own width only, and the loader of the bundle is 64-bit.",
    "Switch the host to BIOS (legacy) boot, or leave it as it is; there is no loader for it.",
)
VARIABLES = _kind(
    "firmware_variables",
    "The variables of the UEFI firmware cannot be read",
    "Control of the host changes hands by its boot entries; the kernel offers none below /sys/firmware/efi/efivars.",
    "Mount them (mount -t efivarfs efivarfs /sys/firmware/efi/efivars) and start the host without efi=noruntime"
    " or noefi on its kernel line.",
)
VARIABLES_FULL = _kind(
    "firmware_variables_full",
    "The variable store of the UEFI firmware has only {free} left",
    "One boot entry has to be written into it, and Linux keeps 5 KiB free, because some firmwares break when full.",
    "Remove crash records (/sys/fs/pstore) and boot entries that nobody uses (efibootmgr --delete-bootnum).",
)
ESP_MISSING = _kind(
    "esp_missing",
    "The host was started by UEFI, and it has no EFI system partition",
    "The loader lies on that partition; without one the firmware would find nothing to start.",
    "Find out from what the host was started (efibootmgr --verbose); a host that starts from the network or from"
    " another medium cannot be converted yet.",
)
ESP_ELSEWHERE = _kind(
    "esp_on_other_disk",
    "The EFI system partition {node} lies on {disk}, and the system on {system}",
    "Only the system disk is written to, so the firmware would go on to start what lies on the other one.",
    "Give the system disk an EFI system partition, start the host from it once, and run again.",
)
ESP_NOT_GPT = _kind(
    "esp_not_gpt",
    "The EFI system partition {node} lies on a disk with a table of kind {table}",
    "It stays where it is, and the new table is a GPT: the firmware's entries would no longer find it.",
    "Convert the table with sgdisk --mbrtogpt, check that the host still boots, and run again; or switch the"
    " host to BIOS (legacy) boot.",
)
ESP_NOT_FAT = _kind(
    "esp_not_fat",
    "The EFI system partition {node} holds {fstype}, not FAT",
    "The loader of this version goes there, and a firmware is only sure to read FAT.",
    "Check the partition with blkid and fsck.vfat; back its files up, make it a FAT32 and copy them back.",
)
ESP_SPACE = _kind(
    "esp_space",
    "The EFI system partition {node} has {free} free, and {needed} are needed",
    "The loader and its configuration are written there beside the files of the old system.",
    "Remove what is not needed from {node}, for example old kernels or firmware updates.",
)
ESP_PLACE = _kind(
    "esp_place",
    "The EFI system partition {node} begins at sector {start}, before sector {first}",
    "The new partition table is written beside the old one, in front of the first partition.",
    "Move the partition to 1 MiB or later with a partitioning tool, check that the host still boots, and run again.",
)

REFUSALS: tuple[FaultKind, ...] = (
    SECURE_BOOT, FIRMWARE_32, VARIABLES, VARIABLES_FULL,
    ESP_MISSING, ESP_ELSEWHERE, ESP_NOT_GPT, ESP_NOT_FAT, ESP_SPACE, ESP_PLACE,
)  # fmt: skip
#: The catalogue has them from ``faults.preflight``, which lists every finding.
KINDS: tuple[FaultKind, ...] = ()
