# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a machine is made of: its options, its disks, and QEMU's whole argument list."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: An extra disk that is a twin of the system disk.
CLONE = "clone"


@dataclass(frozen=True)
class Options:
    """How a machine is made. ``lifetime`` is in seconds.

    An extra disk is a size as QEMU writes it (``8G``), or ``CLONE`` for a twin of the system disk.
    """

    image: str
    memory_mib: int = 1024
    cpus: int = 2
    extra_disks: tuple[str, ...] = ()
    serial: str = "LAB0815"
    lifetime: int = 4 * 3600


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
    argv += ["-machine", "pc", "-m", str(options.memory_mib), "-smp", str(options.cpus)]
    argv += ["-display", "none", "-pidfile", "qemu.pid"]
    argv += ["-qmp", "unix:qmp.sock,server=on,wait=off"]
    console = "path=console.sock,server=on,wait=off,logfile=serial.log,logappend=on"
    argv += ["-chardev", f"socket,id=console,{console}"]
    argv += ["-serial", "chardev:console"]
    argv += ["-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:22"]
    # A fixed place on the bus, so that the guest names the interface ens3.
    argv += ["-device", f"virtio-net-pci,netdev=net0,mac={mac_of(name)},addr=0x3,romfile="]
    argv += ["-device", "virtio-rng-pci"]
    for number in range(1 + len(options.extra_disks)):
        disk = f"disk{number}"
        argv += ["-drive", f"file={disk}.qcow2,if=none,id={disk},cache=unsafe,discard=unmap"]
        argv += [
            "-device",
            f"virtio-blk-pci,drive={disk},serial={options.serial}-{number},addr={8 + number:#x}",
        ]
    return argv
