# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a machine is made of: its options, its disks, and QEMU's whole argument list."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import firmware as uefi

#: An extra disk that is a twin of the system disk.
CLONE = "clone"
#: The log of writes in the machine's folder.
WRITES = "writes.log"


@dataclass(frozen=True)
class Options:
    """How a machine is made. ``lifetime`` is in seconds.

    An extra disk is a size as QEMU writes it (``8G``), or ``CLONE`` for a twin of the system disk.
    ``firmware`` is ``bios`` or ``uefi``; empty: what the image was made for. ``chipset`` is ``pc`` or ``q35``;
    empty: what goes with the firmware. ``bus`` is that of the disks: ``virtio``, ``sata`` or ``nvme``.
    ``watchdog`` is QEMU's name of a watchdog device, ``i6300esb``; empty: the machine has none.
    ``network`` is ``user``, with QEMU's own gateway and DHCP server, ``elsewhere``, the same for another subnet,
    or ``silent``, where nobody answers. ``nic_place`` is the card's place on the bus, which decides its name.
    With ``log_writes`` every write to the first disk is logged in ``WRITES``, by QEMU's ``blklogwrites``, from the
    last start on.
    """

    image: str
    memory_mib: int = 1024
    extra_disks: tuple[str, ...] = ()
    serial: str = "LAB0815"
    lifetime: int = 4 * 3600
    firmware: str = ""
    chipset: str = ""
    bus: str = "virtio"
    watchdog: str = ""
    network: str = "user"
    nic_place: str = "0x3"
    log_writes: bool = False


def create_disks(folder: Path, options: Options, image: Path) -> None:
    """Make ``disk0.qcow2``, an overlay of the image, and the extra disks beside it."""
    for number, size in enumerate((CLONE, *options.extra_disks)):
        path = folder / f"disk{number}.qcow2"
        what = ["-b", str(image), "-F", "raw", str(path)] if size == CLONE else [str(path), size]
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *what], check=True)


def mac_of(name: str) -> str:
    """Return the MAC address of a machine: always the same for a name, of QEMU's own range."""
    octets = hashlib.sha256(name.encode()).digest()[:3]
    return "52:54:00:" + ":".join(f"{octet:02x}" for octet in octets)


def qemu_arguments(name: str, options: Options, accelerator: Sequence[str], port: int = 0) -> list[str]:
    """Return QEMU's argv; it runs in the machine's folder, so its paths are short and relative.

    ``port`` is the loopback port of the guest's SSH; with 0 QEMU takes a free one.
    """
    argv = ["qemu-system-x86_64", "-name", name, *accelerator]
    chipset = options.chipset or ("q35" if options.firmware == "uefi" else "pc")
    if options.firmware == "uefi":
        argv += uefi.qemu_arguments()
    argv += ["-machine", chipset, "-m", str(options.memory_mib)]
    argv += ["-display", "none", "-pidfile", "qemu.pid"]
    argv += ["-qmp", "unix:qmp.sock,server=on,wait=off"]
    console = "path=console.sock,server=on,wait=off,logfile=serial.log,logappend=on"
    argv += ["-chardev", f"socket,id=console,{console}"]
    argv += ["-serial", "chardev:console"]
    where = ",net=10.99.99.0/24" if options.network == "elsewhere" else ""
    argv += ["-netdev", f"user,id=net0{where},hostfwd=tcp:127.0.0.1:{port}-:22"]
    cable = "net0"
    if options.network == "silent":
        # The card hangs on a hub alone; the forwarded port stays, for it is what the controller knocks at.
        argv += ["-netdev", "hubport,id=net1,hubid=1"]
        cable = "net1"
    # A fixed place on the bus, so that the guest names the interface ens3.
    card = f"virtio-net-pci,netdev={cable},mac={mac_of(name)},addr={options.nic_place},romfile="
    argv += ["-device", card]
    argv += ["-device", "virtio-rng-pci"]
    if options.watchdog:
        argv += ["-device", options.watchdog, "-action", "watchdog=reset"]
    for number in range(1 + len(options.extra_disks)):
        disk = f"disk{number}"
        if number == 0 and options.log_writes:
            argv += _logged_disk(disk)
        else:
            argv += ["-drive", f"file={disk}.qcow2,if=none,id={disk},cache=unsafe,discard=unmap"]
        argv += ["-device", _disk_device(options, number)]
    return argv


def _logged_disk(disk: str) -> list[str]:
    logged = f"driver=blklogwrites,node-name={disk},file={disk}-image,log=writes,log-super-update-interval=1"
    return [
        *("-blockdev", f"driver=file,filename={disk}.qcow2,node-name={disk}-file,discard=unmap,cache.no-flush=on"),
        *("-blockdev", f"driver=qcow2,file={disk}-file,node-name={disk}-image,discard=unmap"),
        *("-blockdev", f"driver=file,filename={WRITES},node-name=writes,cache.no-flush=on"),
        *("-blockdev", logged),
    ]


def _disk_device(options: Options, number: int) -> str:
    identity = f"drive=disk{number},serial={options.serial}-{number}"
    if options.bus == "sata":
        # The chip set q35 has one controller with six ports; drives are numbered by their ports.
        return f"ide-hd,{identity},bus=ide.{number}"
    device = {"virtio": "virtio-blk-pci", "nvme": "nvme"}[options.bus]
    # A merged request may have IOV_MAX pieces, and blklogwrites adds two of its own: the log then misses the write.
    merging = ",request-merging=off" if options.log_writes and not number and options.bus == "virtio" else ""
    return f"{device},{identity},addr={8 + number:#x}{merging}"
