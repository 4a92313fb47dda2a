# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""GRUB on a BIOS host with a GPT disk: core image, BIOS boot partition, boot sector.

Field offsets are those of GRUB's ``grub-core/boot/i386/pc/{boot,diskboot}.S`` and
``include/grub/i386/pc/boot.h``. ``grub-install`` is not used: it writes the boot sector in the same
breath as the rest, and here control must change hands last, by one sector.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..disk import raw
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..layout.model import TYPE_GUIDS, ResolvedLayout, ResolvedPartition
from ..runner import Runner

SECTOR = 512
GRUB_DIRECTORY = Path("/usr/lib/grub/i386-pc")

#: All that the dispatcher needs lies in the core image: nothing is loaded from a file system later.
MODULES = (
    *("biosdisk", "part_gpt", "part_msdos", "ext2", "xfs", "lvm", "diskfilter", "search", "search_fs_uuid"),
    *("normal", "configfile", "loadenv", "test", "true", "eval", "regexp", "echo", "sleep", "minicmd"),
    *("linux", "boot", "gzio", "xzio", "zstd", "serial", "terminal", "ls", "cat", "reboot", "halt"),
)

#: boot.img: first sector of the core (8 bytes), and the jump around the fix for BIOSes that hand
#: over a wrong drive number, replaced by two no-operations for a hard disk.
_KERNEL_SECTOR = 0x5C
_DRIVE_CHECK = 0x66
_NOP_NOP = b"\x90\x90"
#: First sector of the core: where the rest of it lies (start 8, sectors 2, segment 2 bytes).
_BLOCK_LIST = 0x1F4
_LOAD_SEGMENT = 0x820
#: Boot code ends here; disk signature, partition table and 55 AA follow.
_TABLE = 440
_PROTECTIVE = 0xEE


def build_core(runner: Runner, grub_dir: Path, prefix: str, early: str = "", modules: Sequence[str] = MODULES) -> bytes:
    """Return a core image from ``grub-mkimage`` with GRUB's modules of ``grub_dir``.

    ``prefix`` is for example ``(,gpt2)/grub``: a partition of the disk that was booted from; without a
    device it is that disk itself. ``early`` is a configuration that runs before any file is read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "core.img")
        argv = ["grub-mkimage", "-O", "i386-pc", "-d", str(grub_dir), "-o", str(output), "-p", prefix]
        if early:
            config = Path(scratch, "early.cfg")
            config.write_text(early, encoding="ascii")
            argv += ["-c", str(config)]
        runner.run([*argv, *modules], timeout=300)
        return output.read_bytes()


def place_core(core: bytes, start_lba: int) -> bytes:
    """Return the core as it must lie on the disk from ``start_lba`` on: whole sectors, list patched."""
    sectors = -(-len(core) // SECTOR)
    placed = bytearray(core.ljust(sectors * SECTOR, b"\0"))
    struct.pack_into("<QHH", placed, _BLOCK_LIST, start_lba + 1, sectors - 1, _LOAD_SEGMENT)
    return bytes(placed)


def boot_image(grub_dir: Path) -> bytes:
    """Return GRUB's boot sector as it was built, without any address."""
    return (grub_dir / "boot.img").read_bytes()


def boot_sector(image: bytes, core_lba: int, present: bytes) -> bytes:
    """Return LBA 0 with GRUB's boot code for a core at ``core_lba``; the table of ``present`` stays."""
    code = bytearray(image[:_TABLE])
    struct.pack_into("<Q", code, _KERNEL_SECTOR, core_lba)
    code[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _NOP_NOP
    return bytes(code) + present[_TABLE:SECTOR]


def embed_core(node: str, core: bytes, resolved: ResolvedLayout) -> None:
    """Write the core into the BIOS boot partition and read it back.

    Raises ``Fault``: ``boot.no_bios_partition``, ``boot.core_too_large``, ``boot.sector_size`` or
    ``boot.write_failed``.
    """
    partition = bios_partition(resolved)
    require_room(core, partition)
    placed = place_core(core, partition.start_lba)
    offset = partition.start_lba * SECTOR
    write_through(node, offset, placed)
    if read_through(node, offset, len(placed)) != placed:
        raise _not_kept(node, offset, "it reads back different")


def require_room(core: bytes, partition: ResolvedPartition) -> None:
    """Raise ``Fault`` ``boot.core_too_large`` unless the core fits into the BIOS boot partition."""
    needed, room = -(-len(core) // SECTOR) * SECTOR, partition.sectors * SECTOR
    if needed > room:
        raise Fault(kinds.CORE_TOO_LARGE, needed=needed, room=room)


def switch_boot_sector(node: str, resolved: ResolvedLayout, grub_dir: Path = GRUB_DIRECTORY) -> None:
    """Hand control to the core in the BIOS boot partition by one write of LBA 0, and read it back.

    Does nothing where LBA 0 is right already. Raises ``Fault`` ``boot.no_protective_mbr``,
    ``boot.no_core`` or ``boot.write_failed``.
    """
    start = bios_partition(resolved).start_lba
    present = read_through(node, 0, SECTOR)
    if present[510:] != b"\x55\xaa" or _PROTECTIVE not in present[450:510:16]:
        raise Fault(kinds.NO_PROTECTIVE_MBR, node=node)
    if not is_core(read_through(node, start * SECTOR, SECTOR), start):
        raise Fault(kinds.NO_CORE, node=node, sector=start)
    change_boot_code(node, grub_dir, start, present)


def is_core(first: bytes, start_lba: int) -> bool:
    """Tell whether a sector is the first of a core image that was placed at ``start_lba``."""
    following, _count, segment = struct.unpack_from("<QHH", first, _BLOCK_LIST)
    return bool((following, segment) == (start_lba + 1, _LOAD_SEGMENT))


def boot_record(node: str) -> bytes:
    """Return LBA 0; raises ``boot.no_boot_record`` where it is not one that a BIOS has started the host from."""
    present = read_through(node, 0, SECTOR)
    if present[510:] != b"\x55\xaa":
        raise Fault(kinds.NO_BOOT_RECORD, node=node, problem="does not end in 55 AA")
    if not any(present[:_TABLE]):
        raise Fault(kinds.NO_BOOT_RECORD, node=node, problem="holds no boot code")
    return present


def change_boot_code(node: str, grub_dir: Path, core_lba: int, present: bytes) -> None:
    """Let LBA 0, which is ``present``, start the core at ``core_lba``; read it back.

    One write, only bytes 0-439 change; none where they are right already. Raises ``Fault``
    ``boot.write_failed``, and ``present`` is then put back as far as the disk lets it.
    """
    wanted = boot_sector(boot_image(grub_dir), core_lba, present)
    if present == wanted:
        return
    try:
        write_through(node, 0, wanted)
        if read_through(node, 0, SECTOR) != wanted:
            raise _not_kept(node, 0, "it reads back different")
    except Fault:
        # A write that failed may be on the disk all the same, and nobody would expect who starts then.
        with contextlib.suppress(Fault):
            write_through(node, 0, present)
        raise


def starts_by_bios(resolved: ResolvedLayout) -> bool:
    """Tell whether a disk of this layout can be started by BIOS, whatever starts the host."""
    there = any(part.type_guid.upper() == TYPE_GUIDS["bios_boot"] for part in resolved.partitions)
    return there and resolved.sector_bytes == SECTOR


def bios_partition(resolved: ResolvedLayout) -> ResolvedPartition:
    """Return the BIOS boot partition of a layout whose disk has 512-byte sectors."""
    if resolved.sector_bytes != SECTOR:
        raise Fault(kinds.SECTOR_SIZE, sector_bytes=resolved.sector_bytes)
    for partition in resolved.partitions:
        if partition.type_guid.upper() == TYPE_GUIDS["bios_boot"]:
            return partition
    raise Fault(kinds.NO_BIOS_PARTITION, layout=resolved.name)


def write_through(node: str, offset: int, data: bytes) -> None:
    """Write whole sectors past the page cache, on the disk when this returns."""
    try:
        with raw.opened(node, write=True) as handle:
            raw.write_at(handle, offset, data)
    except OSError as error:
        raise _not_kept(node, offset, error) from error


def read_through(node: str, offset: int, length: int) -> bytes:
    """Read whole sectors from the disk, not from the page cache; raises ``Fault`` ``boot.read_failed``."""
    try:
        with raw.opened(node) as handle:
            return raw.read_at(handle, offset, length)
    except OSError as error:
        raise Fault(kinds.READ_FAILED, node=node, sector=offset // SECTOR, problem=error) from error


def _not_kept(node: str, offset: int, problem: object) -> Fault:
    return Fault(kinds.WRITE_FAILED, node=node, sector=offset // SECTOR, problem=problem)
