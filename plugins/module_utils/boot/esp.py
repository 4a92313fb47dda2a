# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files on the EFI system partition: this project's own, and those of the old system's loaders.

FAT has no journal. What is new is written beside what is there, flushed and read back before it takes the
name that counts; the one file that changes who starts, ``switch.cfg``, is a single sector that is
overwritten where it lies. What a power cut leaves half done all the same, such as space that belongs to no
file, is mended before the partition is mounted: Linux does not write to a FAT in which it finds a fault.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..archive.durable import sync_directory, sync_file_system, write_file
from ..disk import sysfs
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..layout.model import TYPE_GUIDS, ResolvedLayout, ResolvedPartition
from ..runner import Runner

#: The folder of this project, and the name of its loader in it.
HOME = Path("EFI/dualroot")
LOADER = "grubx64.efi"
#: What a firmware starts that has no boot entries (UEFI specification 2.10, 3.5.1.1).
REMOVABLE = Path("EFI/BOOT/BOOTX64.EFI")
#: Where the loaders of the old system are kept, below ``HOME``.
FORMER = "former"

SWITCH = "switch.cfg"
#: Who may start next; each has its own ``NAME.cfg`` beside the switch.
TARGETS = ("lifeboat", "dispatch")
_SWITCH_BYTES = 512
_SWITCH_TEXT = (
    "# dualroot.migrate: who starts next; one sector, overwritten in place\nconfigfile $prefix/{target}.cfg\n"
)

#: What fsck.fat makes of space that belongs to no file.
_SALVAGED = "FSCK[0-9][0-9][0-9][0-9].REC"
_OPTIONS = "rw,noatime,nosuid,nodev,noexec,umask=0077"


def partition(resolved: ResolvedLayout) -> ResolvedPartition | None:
    """Return the EFI system partition of a layout, None where it has none."""
    esp = TYPE_GUIDS["esp"]
    return next((part for part in resolved.partitions if part.type_guid.upper() == esp), None)


def node_of(node: str, resolved: ResolvedLayout, root: Path = sysfs.ROOT) -> str:
    """Return the node of the EFI system partition on the disk at ``node``.

    Raises ``Fault`` ``boot.esp_missing`` where the kernel has no such partition at that place.
    """
    wanted = partition(resolved)
    if wanted is None:
        raise Fault(kinds.ESP_MISSING, node=node, problem="the layout has none")
    place = (wanted.start_lba * resolved.sector_bytes, wanted.sectors * resolved.sector_bytes)
    for part in sysfs.partitions(sysfs.kernel_name(node, root), root):
        if part.number == wanted.number and (part.start_bytes, part.size_bytes) == place:
            return sysfs.node_of(part.name)
    problem = f"no partition {wanted.number} at byte {place[0]} with {place[1]} bytes"
    raise Fault(kinds.ESP_MISSING, node=node, problem=problem)


@contextlib.contextmanager
def mounted(runner: Runner, device: str) -> Iterator[Path]:
    """Yield the folder where the partition is mounted writable; all is on the disk when this ends.

    Its file system is checked first, as every system does at its start (fsck.fat(8)).
    """
    # Whatever it says, the mount decides. 1: something was mended.
    mended = runner.run(["fsck.fat", "-a", device], accept=range(256)).returncode == 1
    # No TemporaryDirectory: where umount fails, it would delete every file of the partition.
    folder = tempfile.mkdtemp(prefix="dualroot-esp-")
    try:
        runner.run(["mount", "-t", "vfat", "-o", _OPTIONS, device, folder])
        try:
            with _telling(Path(folder)):
                # Halves of what was being written; the room is needed for the whole.
                for salvaged in Path(folder).glob(_SALVAGED) if mended else ():
                    salvaged.unlink()
            yield Path(folder)
            with _telling(Path(folder)):
                sync_file_system(Path(folder))
        finally:
            runner.run(["umount", folder])
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def write(path: Path, content: bytes) -> None:
    """Write a file unless it is there with this content; read back from the disk before it gets its name.

    Raises ``Fault`` ``boot.esp_unwritable``.
    """
    if _read(path) == content:
        return
    with _telling(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _kept_open(path):
            write_file(path, content)
            _sync_name(path)
    if _read_from_disk(path) != content:
        raise Fault(kinds.ESP_UNWRITABLE, path=path, problem="it reads back different")


def switch_content(target: str) -> bytes:
    """Return the whole sector that lets ``target`` start next."""
    return _SWITCH_TEXT.format(target=target).encode("ascii").ljust(_SWITCH_BYTES - 1, b"#") + b"\n"


def read_switch(mount: Path) -> str:
    """Return who starts next, empty where the switch is missing or says something else."""
    found = _read(mount / HOME / SWITCH)
    return next((target for target in TARGETS if found == switch_content(target)), "")


def set_switch(mount: Path, target: str) -> None:
    """Let ``target`` start next: one sector, overwritten in place and read back; does nothing where it is so.

    Raises ``Fault`` ``boot.esp_unwritable``.
    """
    path, content = mount / HOME / SWITCH, switch_content(target)
    if _read(path) == content:
        return
    if not path.is_file() or path.stat().st_size != len(content):
        write(path, content)
        return
    with _telling(path):
        handle = os.open(path, os.O_WRONLY | os.O_DSYNC)
        try:
            written = os.pwrite(handle, content, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
    if written != len(content) or _read_from_disk(path) != content:
        raise Fault(kinds.ESP_UNWRITABLE, path=path, problem="it reads back different")


def take_removable_path(mount: Path, image: bytes) -> None:
    """Put this project's loader where a firmware without entries looks; what was there is kept."""
    path = _found(mount, REMOVABLE)
    present = _read(path)
    if present is not None and present != image:
        _keep(mount, Path("BOOT", REMOVABLE.name), present)
    write(path, image)


def put_aside_former_loaders(mount: Path) -> None:
    """Move the loaders of other vendors out of the firmware's reach, into the folder of former ones.

    A firmware that has lost its entries, or makes up its own, would start them into an old system that is
    no more. Their other files stay. Called again, it goes on where it was cut off.
    """
    for folder in sorted((mount / "EFI").iterdir()):
        if not folder.is_dir() or folder.name.lower() in (HOME.name.lower(), "boot"):
            continue
        for loader in sorted(folder.rglob("*")):
            if loader.suffix.lower() == ".efi" and loader.is_file():
                _put_aside(mount, loader)
    boot = _found(mount, REMOVABLE).parent
    for loader in sorted(boot.iterdir()) if boot.is_dir() else ():
        if loader.suffix.lower() == ".efi" and loader.name.lower() != REMOVABLE.name.lower():
            _put_aside(mount, loader)


def remove_own(mount: Path) -> None:
    """Remove this project's files, except the loaders that it has put aside."""
    with _telling(mount / HOME):
        for path in sorted((mount / HOME).glob("*")):
            if path.is_file():
                path.unlink()
        with contextlib.suppress(OSError):
            (mount / HOME).rmdir()


def _put_aside(mount: Path, loader: Path) -> None:
    """Copy a loader, then remove it: a name that is moved is two entries of FAT, and a cut may leave both."""
    with _telling(loader):
        _keep(mount, loader.relative_to(mount / "EFI"), loader.read_bytes())
        loader.unlink()
        sync_file_system(mount)


def _keep(mount: Path, name: Path, content: bytes) -> None:
    """Keep a copy of a former loader, the first of its name.

    Without room better none than a way into a system that is no more.
    """
    keep = mount / HOME / FORMER / name
    if keep.is_file():
        return
    try:
        write(keep, content)
    except Fault:
        for half in (keep, keep.with_name(f"{keep.name}.new")):
            with contextlib.suppress(OSError):
                half.unlink()


def _found(mount: Path, wanted: Path) -> Path:
    """Return the path in the letter case in which it is there: FAT does not tell them apart, tests may."""
    path = mount
    for name in wanted.parts:
        names = [one.name for one in path.iterdir()] if path.is_dir() else []
        path /= next((one for one in names if one.lower() == name.lower()), name)
    return path


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _read_from_disk(path: Path) -> bytes | None:
    """Read a file after its cached pages were dropped, so that the disk itself answers."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)
    return _read(path)


@contextlib.contextmanager
def _kept_open(path: Path) -> Iterator[None]:
    """Keep the space of a file that is replaced until this ends.

    On FAT the name still leads to the old content until the new file's own entry is written, which may be after the
    old space was given back (Linux, fs/fat/namei_vfat.c, vfat_rename): a cut left a name that led to nothing.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    finally:
        os.close(handle)


def _sync_name(path: Path) -> None:
    """Bring the entry of a file that was renamed to the disk: on FAT it is part of the file, not of the folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    sync_directory(path.parent)


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Fault(kinds.ESP_UNWRITABLE, path=path, problem=error.strerror or error) from error
