# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A disk image with dispatcher, two slots on LVM and a recovery system, and its boots under QEMU.

The disk is made by the code that stage two runs (``boot.install``), except for partition table, LVM
metadata and file systems, which come from sgdisk, ``lvm_image`` and mke2fs: no root, no loop device.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import install, records, slot_state, titles
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import (
    TYPE_GUIDS,
    ResolvedFileSystem,
    ResolvedLayout,
    ResolvedPartition,
    ResolvedSlot,
    ResolvedVolume,
    ResolvedVolumeGroup,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from . import lvm_image, tiny_kernel

MIB = 1 << 20
SECTOR = 512
DISK_BYTES = 80 * MIB
ROOT_BYTES = 16 * MIB
DISPATCH_BYTES = 24 * MIB
BOOT_SECONDS = 60
RUN_ID = "20260102T030405Z-abcdef"
OTHER = records.SlotRecord("b", "bundle", "gateway", "1.1.0", "small", "20260101T000000Z-000000", "", title="Debian 12")
ARGUMENTS = ["console=tty0", "console=ttyS0,115200"]

_DISCARD = 4
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Boot:
    """What the serial port said of one boot."""

    text: str

    @property
    def choice(self) -> str:
        """The dispatcher's own line, as ``a good`` or ``r no-bootable-slot``."""
        found = re.search(r"dualroot: slot=(\S+) why=(\S+) tries=", self.text)
        return f"{found[1]} {found[2]}" if found else "none"

    @property
    def kernel(self) -> str:
        """The command line that the kernel got, empty where none was started."""
        found = re.search(r"KERNEL (.*?)\s*INITRD", self.text, re.DOTALL)
        return found[1] if found else ""

    @property
    def initrd(self) -> str:
        found = re.search(r"INITRD (.*?)\s*END", self.text, re.DOTALL)
        return found[1] if found else ""

    @property
    def started(self) -> str:
        """``a``, ``b``, ``r`` or ``none``: what was started, told by its own initramfs."""
        found = re.match(r"initrd-of-(\w)", self.initrd)
        return found[1] if found else "none"


def resolved_layout() -> ResolvedLayout:
    """Return the layout ``va`` in small: a second volume group for the second root."""

    def partition(part_id: str, number: int, kind: str, start: int, size: int) -> ResolvedPartition:
        return ResolvedPartition(
            id=part_id,
            number=number,
            name=part_id,
            type_guid=TYPE_GUIDS[kind],
            start_lba=start,
            sectors=size // SECTOR,
            uuid=f"00000000-0000-4000-8000-00000000000{number}",
            attributes=(),
            at="convert",
        )

    def group(name: str, part_id: str) -> ResolvedVolumeGroup:
        extents = ROOT_BYTES // lvm_image.EXTENT
        volume = ResolvedVolume(f"{part_id}_root", "root", extents, ROOT_BYTES, "convert")
        return ResolvedVolumeGroup(f"{part_id}_group", name, (part_id,), lvm_image.EXTENT, "convert", (volume,))

    def file_system(number: int, on: str, mount: str) -> ResolvedFileSystem:
        uuid = f"00000000-0000-4000-8000-00000000010{number}"
        return ResolvedFileSystem(on, "ext4", on, uuid, mount, "defaults", "convert")

    return ResolvedLayout(
        name="small",
        table="gpt",
        disk_guid="00000000-0000-4000-8000-000000000000",
        sector_bytes=SECTOR,
        disk_bytes=DISK_BYTES,
        partitions=(
            partition("bios", 1, "bios_boot", 2048, 2 * MIB),
            partition("dispatch", 2, "linux", 6144, DISPATCH_BYTES),
            partition("va", 3, "lvm", 6144 + DISPATCH_BYTES // SECTOR, ROOT_BYTES + MIB),
            partition("vb", 4, "lvm", 6144 + (DISPATCH_BYTES + ROOT_BYTES + MIB) // SECTOR, ROOT_BYTES + MIB),
        ),
        volume_groups=(group("VA", "va"), group("V-B", "vb")),
        file_systems=(
            file_system(0, "dispatch", "/boot/dispatch"),
            file_system(1, "va_root", "/"),
            file_system(2, "vb_root", "/"),
        ),
        slots={"a": ResolvedSlot("va_root", "convert"), "b": ResolvedSlot("vb_root", "convert")},
        dispatch="dispatch",
    )


def make_plan(**changes: Any) -> dict[str, Any]:
    """Return the parts of a plan that the boot area reads."""
    return {
        "layout": resolved_layout().to_document(),
        "slot": "a",
        "firmware": "bios",
        "run_id": RUN_ID,
        "kernel_arguments": ARGUMENTS,
        "bundle": {"name": "gateway", "version": "1.2.0"},
        "payload": {"sha256": "0" * 64},
        **changes,
    }


class Disk:
    """A disk image; ``dispatch`` and ``roots`` are the folders that its file systems are made of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.image = folder / "disk.img"
        self.layout = resolved_layout()
        self.dispatch = folder / "dispatch"
        self.roots = {"a": folder / "root-a", "b": folder / "root-b"}

    def prepare(self) -> None:
        """Fill the folders and write table, LVM, core image and boot sector."""
        self._fill()
        self._write_table()
        for name, group in zip("ab", self.layout.volume_groups):
            volume = lvm_image.Volume("root", ROOT_BYTES // lvm_image.EXTENT)
            header = lvm_image.header(group.name, (volume,), ROOT_BYTES + MIB)
            self.write(self._start(group.partitions[0]), header)
            self.make_root(name)
        environment = self.folder / "environment"
        environment.mkdir()
        (environment / "vmlinuz").write_bytes(tiny_kernel.image())
        (environment / "initrd.img").write_bytes(b"initrd-of-r\n")
        host_files = self.folder / "host-files"
        host_files.mkdir()
        (host_files / "plan.json").write_text(json.dumps({"the-plan": 1}))
        runner = CommandRunner()
        install.install(
            runner,
            self.layout,
            str(self.image),
            self.dispatch,
            self.roots["a"],
            make_plan(),
            environment,
            host_files=host_files,
        )
        install.switch(str(self.image), self.layout)
        records.write_slot(self.dispatch, OTHER)
        titles.write(self.dispatch)
        # The seconds of the menu and of the pause are the only thing that the tests change.
        config = self.dispatch / "grub/grub.cfg"
        config.write_text(config.read_text().replace("set timeout=2", "set timeout=0").replace("sleep 20", "sleep 1"))
        self.make_root("a")
        self.make_dispatch()

    def set_state(self, **values: str) -> None:
        """Write state file and copy with raw values, even such that Linux would refuse to write."""
        variables = {"version": "1", "generation": "5", "order": "a b", "a": "good", "b": "empty"}
        variables.update({"tries": "0", "next": "", **values})
        lines = [f"dr_{name}={value}\n" for name, value in variables.items()]
        text = "# GRUB Environment Block\n" + "".join(lines)
        for name in slot_state.FILE_NAMES:
            (self.dispatch / name).write_bytes(text.encode().ljust(slot_state.BLOCK_BYTES, b"#"))
        self.make_dispatch()

    def make_dispatch(self) -> None:
        self._make_file_system(self.dispatch, self._start("dispatch"), DISPATCH_BYTES)

    def make_root(self, slot: str) -> None:
        part_id = self.layout.volume_groups["ab".index(slot)].partitions[0]
        self._make_file_system(self.roots[slot], self._start(part_id) + lvm_image.DATA_START, ROOT_BYTES)

    def write(self, offset: int, data: bytes) -> None:
        with self.image.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def state(self) -> slot_state.SlotState:
        """Read the slot state back out of the image, as Linux would find it."""
        found = self.folder / "found"
        found.mkdir(exist_ok=True)
        partition = f"{self.image}?offset={self._start('dispatch')}"
        for name in slot_state.FILE_NAMES:
            (found / name).unlink(missing_ok=True)
            _run("debugfs", "-R", f"dump /{name} {found / name}", partition)
        return slot_state.read(found).state

    def boot(
        self, *, read_only: bool = False, log: Path | None = None, keys: Callable[[str], bytes] | None = None
    ) -> Boot:
        """Start the image until the machine resets; the image keeps what GRUB wrote.

        ``log`` gets every write in the order in which it was made (QEMU's blklogwrites). ``keys`` is told what was
        said so far, several times a second, and returns what is typed at the serial line then.
        """
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-m", "128", "-display", "none", "-serial", "stdio"]
        argv += ["-monitor", "none", "-no-reboot", "-net", "none", "-device", "virtio-blk-pci,drive=disk"]
        if log is None:
            drive = f"file={self.image},format=raw,if=none,id=disk,cache=writethrough"
            argv += ["-drive", drive + (",readonly=on" if read_only else "")]
        else:
            log.write_bytes(b"")
            argv += ["-blockdev", f"driver=file,filename={self.image},node-name=image"]
            argv += ["-blockdev", f"driver=file,filename={log},node-name=log"]
            argv += ["-blockdev", "driver=blklogwrites,node-name=disk,file=image,log=log,log-super-update-interval=1"]
        text = _converse(argv, keys or (lambda _said: b""))
        if "DUALROOT_SHOW_BOOTS" in os.environ:
            print(text)
        return Boot(text)

    def _fill(self) -> None:
        self.dispatch.mkdir()
        for name, root in self.roots.items():
            boot = root / "boot"
            boot.mkdir(parents=True)
            (boot / f"vmlinuz-6.1.0-1{name}").write_bytes(tiny_kernel.image())
            (boot / f"initrd.img-6.1.0-1{name}").write_bytes(f"initrd-of-{name}\n".encode())
            (root / "vmlinuz").symlink_to(f"boot/vmlinuz-6.1.0-1{name}")
            (root / "initrd.img").symlink_to(f"boot/initrd.img-6.1.0-1{name}")

    def _write_table(self) -> None:
        with self.image.open("wb") as file:
            file.truncate(DISK_BYTES)
        argv = ["sgdisk"]
        for part in self.layout.partitions:
            argv += [f"--new={part.number}:{part.start_lba}:{part.start_lba + part.sectors - 1}"]
            argv += [f"--typecode={part.number}:{part.type_guid}"]
        _run(*argv, str(self.image))

    def _start(self, part_id: str) -> int:
        return self.layout.partition(part_id).start_lba * SECTOR

    def _make_file_system(self, folder: Path, offset: int, size: int) -> None:
        self.write(offset, bytes(size))
        argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", str(folder)]
        _run(*argv, "-E", f"offset={offset},root_owner=0:0", str(self.image), f"{size // 1024}k")


def logged_sectors(log: Path) -> list[tuple[int, bytes]]:
    """Return each sector written, with its number, from a log of blklogwrites (QEMU's docs/devel/blklogwrites)."""
    data = log.read_bytes()
    _magic, _version, entries, size = struct.unpack_from("<QQQI", data)
    found = []
    position = size
    for _entry in range(entries):
        sector, count, flags, _length = struct.unpack_from("<QQQQ", data, position)
        position += size
        if flags & _DISCARD:
            continue
        for number in range(count):
            found.append((sector + number, data[position : position + size]))
            position += size
    return found


def copy_disk(source: Disk, folder: Path) -> Disk:
    """Return an independent copy of a prepared disk."""
    shutil.copytree(source.folder, folder, symlinks=True, copy_function=_copy_sparse)
    return Disk(folder)


def _copy_sparse(source: str, target: str, *, follow_symlinks: bool = True) -> None:
    _run("cp", "--sparse=always", "--preserve=mode", "--no-dereference", source, target)


def _run(*argv: str, environment: Mapping[str, str] | None = None) -> None:
    CommandRunner(environment).run(argv)


def _converse(argv: Sequence[str], keys: Callable[[str], bytes]) -> str:
    """Run a machine to its end with somebody at its serial line; return what it said, without control sequences."""
    text, end = "", time.monotonic() + BOOT_SECONDS
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("no serial line")
        try:
            while True:
                if select.select([process.stdout], [], [], 0.2)[0]:
                    piece = process.stdout.read(1 << 16)
                    if not piece:
                        break
                    text += piece.decode("latin-1")
                if time.monotonic() > end:
                    raise subprocess.TimeoutExpired(argv, BOOT_SECONDS, text)
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(keys(text))
            status = process.wait(BOOT_SECONDS)
        finally:
            process.kill()
    if status:
        raise subprocess.CalledProcessError(status, argv, text)
    return _SEQUENCE.sub("", text).replace("\r", "")
