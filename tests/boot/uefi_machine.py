# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The disk of the boot tests with an EFI system partition more, and its boots under OVMF."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.boot import esp, uefi, uefi_image
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import TYPE_GUIDS, ResolvedPartition
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.lab import firmware

from .machine import MIB, SECTOR, Boot, Disk

ESP_START = 61 * MIB
ESP_BYTES = 16 * MIB
MODULES = Path("/usr/lib/grub/x86_64-efi")
#: OVMF alone takes 4 s under emulation, on an idle machine.
BOOT_SECONDS = 120
_SEQUENCE = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")


def build_image(folder: Path) -> bytes:
    """Return the loader, made from the modules of this machine's GRUB."""
    config, output = folder / "early.cfg", folder / "grubx64.efi"
    config.write_text(uefi_image.EARLY.replace("sleep 20", "sleep 1"))
    CommandRunner().run(uefi_image.build_argv(str(MODULES), str(config), str(output)))
    return output.read_bytes()


class UefiDisk(Disk):
    """``esp`` is the folder that the EFI system partition is made of."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.esp = folder / "esp"
        self.variables = folder / firmware.VARIABLES
        part = ResolvedPartition(
            id="esp",
            number=5,
            name="esp",
            type_guid=TYPE_GUIDS["esp"],
            start_lba=ESP_START // SECTOR,
            sectors=ESP_BYTES // SECTOR,
            uuid="00000000-0000-4000-8000-000000000005",
            attributes=(),
            at="convert",
        )
        self.bios_layout = self.layout
        self.layout = dataclasses.replace(self.layout, partitions=(*self.layout.partitions, part))

    def prepare(self) -> None:
        """As for BIOS; then the files that ``uefi.install`` writes, without mounting anything."""
        whole, self.layout = self.layout, self.bios_layout
        super().prepare()
        self.layout = whole
        part = self.layout.partition("esp")
        place = f"--new={part.number}:{part.start_lba}:{part.last_lba}"
        CommandRunner().run(["sgdisk", place, f"--typecode={part.number}:{part.type_guid}", str(self.image)])
        image = build_image(self.folder)
        self.esp.mkdir()
        esp.write(self.esp / esp.HOME / esp.LOADER, image)
        esp.write(self.esp / esp.HOME / "dispatch.cfg", uefi.dispatch_config(self.layout).replace(b"20", b"1"))
        esp.set_switch(self.esp, "dispatch")
        esp.take_removable_path(self.esp, image)
        self.make_esp()
        firmware.make_variables(self.folder)

    def make_esp(self) -> None:
        """Make the FAT anew from its folder."""
        self.write(ESP_START, bytes(ESP_BYTES))
        run = CommandRunner().run
        argv = ["mkfs.vfat", "-F", "16", "-s", "1", f"--offset={ESP_START // SECTOR}", str(self.image)]
        run([*argv, str(ESP_BYTES // 1024)])
        run(["mcopy", "-i", f"{self.image}@@{ESP_START}", "-s", *map(str, self.esp.iterdir()), "::/"])

    def boot_uefi(self, *, read_only: bool = False, bus: str = "virtio-blk-pci") -> Boot:
        """Start the image under OVMF until the machine resets."""
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-m", "256", "-display", "none"]
        argv += ["-serial", "stdio", "-monitor", "none", "-no-reboot", "-net", "none", "-nodefaults"]
        argv += firmware.qemu_arguments(self.folder)
        drive = f"file={self.image},format=raw,if=none,id=disk,cache=writethrough"
        argv += ["-drive", drive + (",readonly=on" if read_only else "")]
        argv += ["-device", f"{bus},drive=disk" + (",serial=1" if bus == "nvme" else "")]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=BOOT_SECONDS, check=True)
        text = _SEQUENCE.sub("", done.stdout.decode("latin-1")).replace("\r", "")
        if "DUALROOT_SHOW_BOOTS" in os.environ:
            print(text)
        return Boot(text)
