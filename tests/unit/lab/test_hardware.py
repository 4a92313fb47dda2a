# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""QEMU's argument list, whole."""

from __future__ import annotations

import pytest

from tests.lab import firmware, hardware

ACCELERATOR = ["-accel", "tcg", "-smp", "1"]


def test_the_whole_machine() -> None:
    options = hardware.Options(image="debian11", memory_mib=512, extra_disks=("1G",))
    assert hardware.qemu_arguments("gw-1", options, ACCELERATOR) == [
        *("qemu-system-x86_64", "-name", "gw-1", "-accel", "tcg", "-smp", "1"),
        *("-machine", "pc", "-m", "512", "-display", "none", "-pidfile", "qemu.pid"),
        *("-qmp", "unix:qmp.sock,server=on,wait=off"),
        *("-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=serial.log,logappend=on"),
        *("-serial", "chardev:console"),
        *("-netdev", "user,id=net0,hostfwd=tcp:127.0.0.1:0-:22"),
        *("-device", f"virtio-net-pci,netdev=net0,mac={hardware.mac_of('gw-1')},addr=0x3,romfile="),
        *("-device", "virtio-rng-pci"),
        *("-drive", "file=disk0.qcow2,if=none,id=disk0,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk0,serial=LAB0815-0,addr=0x8"),
        *("-drive", "file=disk1.qcow2,if=none,id=disk1,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk1,serial=LAB0815-1,addr=0x9"),
    ]


def test_a_machine_keeps_its_port() -> None:
    argv = hardware.qemu_arguments("gw-1", hardware.Options(image="debian11"), ACCELERATOR, 40123)
    assert "user,id=net0,hostfwd=tcp:127.0.0.1:40123-:22" in argv


def test_names_give_addresses_of_their_own() -> None:
    assert hardware.mac_of("gw-1") == hardware.mac_of("gw-1") != hardware.mac_of("gw-2")
    assert hardware.mac_of("gw-1").startswith("52:54:00:")


def test_a_machine_for_uefi_has_its_own_variables() -> None:
    options = hardware.Options(image="debian12-uefi", firmware="uefi")
    argv = hardware.qemu_arguments("gw-1", options, ACCELERATOR)
    assert argv[argv.index("-machine") + 1] == "q35"
    flash = [word for word in argv if word.startswith("if=pflash")]
    assert flash == [
        f"if=pflash,format=raw,unit=0,readonly=on,file={firmware.CODE}",
        "if=pflash,format=raw,unit=1,file=vars.fd",
    ]


@pytest.mark.parametrize(
    ("bus", "device"),
    [
        ("virtio", "virtio-blk-pci,drive=disk0,serial=LAB0815-0,addr=0x8"),
        ("sata", "ide-hd,drive=disk0,serial=LAB0815-0,bus=ide.0"),
        ("nvme", "nvme,drive=disk0,serial=LAB0815-0,addr=0x8"),
    ],
)
def test_the_bus_of_the_disks(bus: str, device: str) -> None:
    options = hardware.Options(image="debian12-uefi", firmware="uefi", bus=bus)
    argv = hardware.qemu_arguments("gw-1", options, ACCELERATOR)
    assert [word for word in argv if "drive=disk0" in word] == [device]


def test_a_logged_disk_is_below_the_log_of_its_writes() -> None:
    options = hardware.Options(image="debian11", log_writes=True, extra_disks=("1G",))
    argv = hardware.qemu_arguments("gw-1", options, ACCELERATOR)
    nodes = [argv[index + 1] for index, word in enumerate(argv) if word == "-blockdev"]
    assert nodes == [
        "driver=file,filename=disk0.qcow2,node-name=disk0-file,discard=unmap,cache.no-flush=on",
        "driver=qcow2,file=disk0-file,node-name=disk0-image,discard=unmap",
        "driver=file,filename=writes.log,node-name=writes,cache.no-flush=on",
        "driver=blklogwrites,node-name=disk0,file=disk0-image,log=writes,log-super-update-interval=1",
    ]
    drives = [argv[index + 1] for index, word in enumerate(argv) if word == "-drive"]
    assert drives == ["file=disk1.qcow2,if=none,id=disk1,cache=unsafe,discard=unmap"]
