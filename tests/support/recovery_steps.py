# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# One text a line reads better here than a text in pieces:
# ruff: noqa: E501
"""What a person does at the console, by fault: the part of ``docs/recovery/`` that is written by hand.

``state`` is how the host is found. ``look`` are commands that show the cause, ``mend`` says what to do about
it, in Markdown. ``tried`` tells where the steps were followed on a machine, and is empty where they were not.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steps:
    state: str
    look: tuple[str, ...]
    mend: str
    tried: str = ""


HOLDS, NEW, RECOVERY, DARK = "holds in stage two", "runs the new system", "runs the recovery system", "is dark"

_DISK = ("dmesg | grep -iE 'error|reset|timeout' | tail", "cat /proc/partitions")
_TABLE = ("sgdisk --print /dev/DISK", "sgdisk --verify /dev/DISK", "lsblk -o NAME,SIZE,PTTYPE,FSTYPE,MOUNTPOINTS")
_LVM = ("lvm pvs; lvm vgs; lvm lvs -o +seg_pe_ranges", "blkid -p /dev/DISKn", "dmesg | tail -20")
_MEMORY = ("cat /run/dualroot/status.json", "free -m", "dmesg | tail -20")
_PAYLOAD = (
    "tail -5 /run/dualroot/journal.jsonl",
    "dmesg | grep -iE 'error|ecc|mce' | tail",
    "lvs; df -h /run/dualroot/new",
)
_NETWORK = ("ip -br link; ip -br addr; ip route", "dmesg | grep -i link | tail", "cat /etc/resolv.conf")
_BOOT = ("ls -l /boot/dispatch /boot/dispatch/recovery 2>/dev/null", "mount | grep dispatch", "dmesg | tail -20")
_STATE = ("head -c 512 /boot/dispatch/state", "head -c 512 /boot/dispatch/state.copy", "mount | grep dispatch")
_SLOT = (
    "dualroot-slot; dualroot-slot reason",
    "head -c 400 /boot/dispatch/state; cat /boot/dispatch/runs/*/trial.log",
    "lvm vgchange -ay; mkdir -p /mnt/root; mount /dev/VA/root /mnt/root    # dual: /dev/dualroot/root_a",
    "chroot /mnt/root journalctl --no-pager | tail -50",
)
#: Followed word for word by ``tests/vm/test_first_boot.py``.
THREE_MORE_TRIES = """\
umount /mnt/root; lvm vgchange -an
dualroot-slot try a
reboot -f
"""
_NEW = ("systemctl --failed", "journalctl -b -p err --no-pager | tail -40", "cat /proc/cmdline")
_PROGRAM = ("tail -40 /run/dualroot/log", "cat /run/dualroot/status.json", "tail -3 /run/dualroot/journal.jsonl")

_RETRY = "Then let stage two try the step again: `touch /run/dualroot/retry`."
_AGAIN = (
    "With a lifeboat the machine may be restarted: it comes back by itself and goes on behind the last finished step. "
    "Without one (`dualroot_lifeboat: none`) the payload is in memory only, so mend and retry, and do not restart."
)
_STAGE_ANEW = (
    "If it comes back, the old system's data is gone: let the host be set up again from other media or from "
    "the snapshot of the run."
)


def _hold(look: tuple[str, ...], mend: str, tried: str = "") -> Steps:
    return Steps(HOLDS, look, f"{mend} {_RETRY}\n\n{_AGAIN}", tried)


def _disk(mend: str) -> Steps:
    return _hold(_DISK, mend)


def _table(mend: str) -> Steps:
    return _hold(_TABLE, mend)


def _volumes(mend: str) -> Steps:
    return _hold(_LVM, mend)


def _archive(mend: str) -> Steps:
    return _hold(_PAYLOAD, mend)


def _loader(mend: str) -> Steps:
    return _hold(_BOOT, mend)


_BAD_COPY = (
    "The payload was whole when it was staged, so memory, cable or disk changed it. A second try reads it again; if the "
    "digest differs each time, the copy is damaged."
)
_OTHER_PAYLOAD = (
    "The payload itself is not fit: no retry helps. Build another bundle; the host has to be set up from other media or "
    "from the snapshot, unless an older bundle fits the same layout."
)

STEPS: dict[str, Steps] = {
    # --- any phase ---
    "command.failed": _hold(_PROGRAM, "The log names the program and what it said. Mend what it complains of."),
    "command.missing": _hold(
        _PROGRAM,
        "The convert environment lacks a program; `command -v NAME` shows it. Nothing at the console adds it: "
        "copy a static build to `/usr/local/sbin` by SSH (`busybox --list` may have it).",
    ),
    "command.timed_out": _hold(
        ("ps w", "cat /proc/*/stack 2>/dev/null | head -40", "dmesg | grep -i 'blocked for' | tail"),
        "A program did not end: a disk that does not answer, as a rule. `dmesg` names it; reseat or replace the cable.",
    ),
    "stage_two.internal": _hold(
        _PROGRAM, "A mistake in this program. Save the three outputs above for a report, and try once more."
    ),
    "stage_two.no_configuration": _hold(
        ("ls -l /etc/dualroot", "cat /proc/cmdline", "dmesg | grep -i initramfs"),
        "The host's own part was not unpacked: the initramfs was read incompletely. Restart the machine once.",
    ),
    "stage_two.file_damaged": _hold(_MEMORY, _BAD_COPY),
    "stage_two.no_network": _hold(
        _NETWORK,
        "Stage two goes on without the network where nobody waits for it. Bring the named interface up by hand "
        "(`ip addr add`, `ip link set … up`), or mend the cable, the VLAN or the DHCP server.",
    ),
    "stage_two.no_sshd": _hold(
        ("cat /run/dualroot/sshd.log", "ls -l /etc/ssh", "/usr/sbin/sshd -t"), "Mend what it says."
    ),
    "stage_two.other_run": _hold(
        ("cat /proc/cmdline", "grep run_id /etc/dualroot/plan.json"),
        "The boot entry and the staged plan are of two runs. Restart; the newer run is staged whole.",
    ),
    "capture.document_invalid": _hold(
        ("ls -l /etc/dualroot", "dmesg | grep -i initramfs"),
        "The initramfs was read incompletely. Restart the machine once.",
    ),
    "capture.account_unknown": _hold(
        ("cut -d: -f1 /etc/passwd",), "The login of the run is not among the captured accounts; log in as root."
    ),
    "capture.interface_missing": _hold(
        ("ip -br link", "dmesg | grep -iE 'eth|firmware' | tail"),
        "The card has no driver in the convert kernel, or it was changed. Put the old card back where that is possible.",
    ),
    "capture.lease_missing": _hold(
        _NETWORK, "No DHCP server answered. Mend it, or set the address by hand; stage two asks again each minute."
    ),
    "layout.unreadable": _hold(
        ("ls -l /etc/dualroot", "dmesg | grep -i initramfs"),
        "The initramfs was read incompletely. Restart the machine once.",
    ),
    # --- the lifeboat ---
    "lifeboat.damaged": _hold(
        _DISK, "A part of the lifeboat changed on the disk: it reports errors, or something else wrote to it."
    ),
    "lifeboat.journal": _disk("The journal in the lifeboat cannot be read or written; the disk reports errors."),
    "lifeboat.invalid": _hold(
        ("ls -l /etc/dualroot", "head -c 400 /etc/dualroot/lifeboat.json"), "Restart the machine once."
    ),
    "lifeboat.not_found": _hold(
        ("cat /proc/partitions", "ls -l /dev/disk/by-id", "dmesg | grep -iE 'ata|nvme|scsi|virtio' | tail -20"),
        "The disk does not show itself: check power, cable and controller mode, or take out a second disk with the same "
        "serial number.",
    ),
    "lifeboat.stuck": _hold(
        ("grep -c resume /run/dualroot/journal.jsonl", "tail -5 /run/dualroot/journal.jsonl", "dmesg | tail -40"),
        "The machine restarted more than ten times in the same step: power, memory or the disk. Mend it first.",
    ),
    # --- partition ---
    "disk.unreadable": _disk("The disk does not answer. Check cable and power; replace a disk whose health is FAILED."),
    "disk.unwritable": _hold(
        _DISK,
        "The disk takes no writes: a write-protect switch, a locked SED, or a defect.",
        "tests/crash/test_console.py, at the serial console, three writes of the table fail",
    ),
    "disk.in_doubt": _disk(
        "Two disks look like the planned one. Take the other one out, or detach it in the hypervisor."
    ),
    "disk.not_found": _disk("The planned disk does not show itself. Check power, cable and controller mode."),
    "disk.no_such_disk": _disk("The device went away. Check cable and power until `/proc/partitions` lists it again."),
    "disk.wrong_geometry": _disk(
        "The disk has another size than planned: it was exchanged, or resized by the hypervisor. Put the former one back."
    ),
    "disk.in_use": _table("Stop what is named: `umount`, `swapoff -a`, `lvm vgchange -an`, `mdadm --stop`."),
    "disk.nodes_left": _table(
        "Something has a partition open that the table no longer has: stop that, then `partx -d --nr N /dev/DISK`."
    ),
    "disk.nodes_missing": _table(
        "The kernel keeps the old table because something uses it: stop that, then `partx -u /dev/DISK`."
    ),
    "disk.no_array_room": _table(
        "A partition lies where the table belongs. No retry moves it: see the snapshot of the run."
    ),
    "disk.overlap": _table(
        "Two partitions overlap in the plan: another release made it. Migrate again with one release throughout."
    ),
    "disk.read_back": _table(
        "The disk did not keep what was written. Try once more; if it happens again, replace the disk."
    ),
    "disk.relabel_refused": _table(
        "Another table than expected is on the disk. Make sure that it is the planned disk before anything else."
    ),
    "disk.spans_disks": _table(
        "A volume group or array also lives on another disk: stop it there (`lvm vgchange -an`, `mdadm --stop`)."
    ),
    "boot.no_boot_record": _table(
        "Where stage two went back to the old system, nothing was changed: do there what *How to go on* says. Where it holds, do not write the old first sector back, which no longer names who starts. Where only the mark at its end is lost (`does not end in 55 AA`), write that: `printf '\\125\\252' | dd of=/dev/DISK bs=1 seek=510 conv=notrunc,fsync`."
    ),
    "boot.lifeboat_core": _disk("The lifeboat's loader does not read back. Try once more; then replace the disk."),
    "boot.lifeboat_files": _loader(
        "The files on the EFI system partition do not read back: check it with `fsck.vfat -n`."
    ),
    "boot.esp_missing": _table("The EFI system partition is not where it was. Make sure that it is the planned disk."),
    "boot.esp_unwritable": _loader(
        "The EFI system partition is full or damaged: `df`, `fsck.vfat -n`; remove files of old loaders."
    ),
    "boot.nvram_unwritable": _hold(
        ("efibootmgr -v", "df /sys/firmware/efi/efivars"),
        "The variable store is full or locked. Remove dead entries (`efibootmgr -B -b NNNN`); the removable path `\\EFI\\BOOT` starts the host all the same.",
    ),
    "boot.uefi_loader_missing": _hold(
        ("ls /usr/lib/dualroot",),
        "The convert environment was built without the loader for UEFI. Build the bundle anew.",
    ),
    # --- volumes ---
    "volumes.device_missing": _volumes("A partition has no node: `partx -u /dev/DISK; udevadm settle`."),
    "volumes.foreign_signature": _volumes(
        "What is named still holds something. It is on the planned disk, so `wipefs -a` removes it."
    ),
    "volumes.group_differs": _volumes(
        "The group is half made by another hand. `lvm vgremove` it; it holds nothing before `restore`."
    ),
    "volumes.group_name_taken": _volumes(
        "Another disk has a group of that name. Detach that disk, or `lvm vgrename` the other group."
    ),
    "volumes.unknown_file_system": _volumes(
        "The layout asks for a file system that this release does not make. No retry helps."
    ),
    "volumes.volume_larger": _volumes(
        "A volume is larger than planned. `lvm lvremove` it; it holds nothing before `restore`."
    ),
    # --- restore ---
    "archive.digest": _archive(_BAD_COPY),
    "archive.truncated": _archive(_BAD_COPY),
    "archive.not_there": _archive("The payload is not where it was put: the disk or the memory of stage two changed."),
    "archive.malformed": _archive(_OTHER_PAYLOAD),
    "archive.unknown_format": _archive(_OTHER_PAYLOAD),
    "archive.unsafe_member": _archive(_OTHER_PAYLOAD),
    "archive.too_large": _archive(_OTHER_PAYLOAD),
    "archive.no_space": _archive(
        "The payload does not fit into the root of the slot. Where the group has room: `lvm lvextend -r`."
    ),
    "archive.no_target": _archive("The new root is not mounted: `lvm vgchange -ay`, and look at the kernel log."),
    "archive.not_durable": _archive("The disk failed while the files were written out."),
    "archive.not_empty": _archive(
        "The target holds files of another hand. Unmount it and `mkfs` it as `/etc/dualroot/plan.json` says."
    ),
    "archive.unpack_failed": _archive(
        "The decompressor ended: too little memory, or a damaged payload; `dmesg` tells which."
    ),
    # --- configure ---
    "capture.sudoers_invalid": Steps(
        NEW,
        ("visudo -c", "ls /etc/sudoers.d/*.dualroot-refused"),
        "Log in as root, mend the refused file, check it with `visudo -c`, and move it into place.",
    ),
    # --- boot and seal ---
    "boot.argument_unsafe": _loader(
        "A kernel argument has a character that GRUB would change. No retry helps; migrate again with `dualroot_kernel_arguments`."
    ),
    "boot.core_too_large": _loader(
        "The BIOS boot partition is too small for this GRUB. Use a layout with 2 MiB for it."
    ),
    "boot.no_bios_partition": _loader("The layout has no BIOS boot partition, and the host is started by BIOS."),
    "boot.no_kernel": _archive("The payload has no kernel. No retry helps; build another bundle."),
    "boot.not_mounted": _loader(
        "Mount the partition `dispatch`: `mount LABEL=dispatch /boot/dispatch` (in stage two below `/run/dualroot/new`)."
    ),
    "boot.read_failed": _disk("A sector cannot be read."),
    "boot.write_failed": _disk("A sector cannot be written."),
    "boot.recovery_damaged": _loader(
        "Kernel or initramfs of the recovery system are not what was staged; the disk or the memory changed them."
    ),
    "boot.remount": _loader(
        "`dispatch` is still writable. `fuser -vm /boot/dispatch`, end what uses it, then `mount -o remount,ro /boot/dispatch`."
    ),
    "boot.sector_size": _loader(
        "A disk with 4096-byte sectors is started by UEFI only. Switch the firmware to UEFI and use a layout with an ESP."
    ),
    "boot.state_lost": Steps(
        NEW,
        _STATE,
        "Both copies of the slot state are gone; the dispatcher boots in the usual order and counts nothing. Write it anew: `ansible HOST -b -m dualroot.migrate.slot_mark -a 'slot=a state=good initialize=true'`.",
        "tests/boot, both copies damaged",
    ),
    "boot.state_unwritable": Steps(
        NEW,
        _STATE,
        "`fsck -n` the partition `dispatch`, look at the kernel log, and mark the slot again. An unwritable state never repeats a trial: the dispatcher then boots the good slot.",
        "tests/boot, unwritable state",
    ),
    "boot.last_slot": Steps(
        NEW,
        _STATE,
        "It would have left no slot to boot. Mark another slot good first, or use `force: true` and end in the recovery system.",
    ),
    "boot.no_core": _loader(
        "GRUB's core is not where the boot sector will look. Try once more; then replace the disk."
    ),
    "boot.no_protective_mbr": _table(
        "The first sector is not that of a GPT disk: something wrote to it. Make sure that it is the planned disk."
    ),
    # --- what the controller sees afterwards ---
    "convert.holding": Steps(
        HOLDS, _PROGRAM, f"The status names the fault of the step; its own page says what to mend. {_RETRY}\n\n{_AGAIN}"
    ),
    "convert.in_recovery": Steps(
        RECOVERY,
        _SLOT,
        "The log of the trial, or the journal of the slot itself, tells why the slot did not come up. Mend it below `/mnt/root`, give it three more tries, and restart:\n\n"
        f"```sh\n{THREE_MORE_TRIES}```\n\nOr choose the slot in the dispatcher's menu. That counts no try itself; but where a slot is on trial, a try of it was used up before the menu came up.",
    ),
    "convert.wrong_slot": Steps(
        NEW, _SLOT, "The planned slot used up its tries. Its journal tells why; mark it `trying` again after mending."
    ),
    "convert.timed_out": Steps(
        DARK,
        ("(look at the screen or the serial line)",),
        "A menu of GRUB, a kernel message, or a prompt tell how far it came. Restart the machine: before the point of no return it starts the old system, after it stage two from the lifeboat, and after `seal` the dispatcher. On trial the slot restarts by itself after `dualroot_trial_limit` seconds.",
    ),
    "convert.host_key_changed": Steps(
        NEW,
        ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", "ip -br addr"),
        "Compare the fingerprint with the known one. Another machine on the same address is found by unplugging this one.",
    ),
    "convert.login_refused": Steps(
        NEW,
        ("journalctl -u ssh -b --no-pager | tail -20", "ls -ld ~USER ~USER/.ssh", "passwd -S USER"),
        "Log in at the console as root and mend the account, its key, or its home folder.",
    ),
    "migrate.unreachable": Steps(
        DARK,
        ("(look at the screen or the serial line)",),
        "As with [convert.timed_out](convert.timed_out.md): run the playbook again, it attaches to the host where it is.",
    ),
    "verify.wrong_system": Steps(
        NEW, _NEW, "`/proc/cmdline` says which slot and run it is. Choose the planned slot in the dispatcher's menu."
    ),
    "verify.disk_missing": Steps(
        NEW,
        _TABLE,
        "The planned disk is not the one that the host runs from: a clone, or a second disk. Take the other one out.",
    ),
    "verify.layout_differs": Steps(
        NEW,
        _TABLE,
        "The differences are listed one by one. A volume that is missing has to be made by hand, as the plan has it, before the next run, which only compares; one that differs was changed by hand. Where `sgdisk --verify` finds fault with one copy of the table only, `sgdisk --move-second-header /dev/DISK` writes both from the good one.",
    ),
    "verify.configuration_differs": Steps(
        NEW,
        _NEW,
        "The differences are listed one by one. Mend them on the new system and run the playbook again, which verifies anew.",
    ),
    "verify.unhealthy": Steps(
        RECOVERY,
        _SLOT,
        "The slot was given up. Mount it and read its journal; where the command was wrong and not the system, give the slot three more tries as in [convert.in_recovery](convert.in_recovery.md).",
    ),
    "verify.no_record": Steps(
        NEW,
        ("ls -l /var/lib/dualroot/runs/*", "ls /boot/dispatch/runs/*"),
        "Stage two did not reach its end, and the slot boots all the same. Do not commit it: migrate again, or restore the snapshot.",
    ),
}

#: Kinds of the phases behind the point of no return that cannot occur there, and why.
NOT_THERE = {
    "disk.table_file": "only where a person restores a table that was saved",
    "boot.kernel_in_pieces": "found by phase load, before the first write",
}
