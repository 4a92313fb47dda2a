# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The root file system inside a disk image of a virtual machine.

The image becomes a sparse raw file (qemu-img(1)); its partitions are read here and mounted by their
offset, read-only and without replaying a journal, so that neither partition scanning nor device-mapper of
the building machine is needed.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..disk import read
from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..runner import Runner

FORMATS = ("raw", "qcow2", "vmdk")
#: Mount options that write nothing, not even a journal's replay; mount(8).
OPTIONS = {
    "ext2": "ro",
    "ext3": "ro,noload",
    "ext4": "ro,noload",
    "xfs": "ro,norecovery,nouuid",
    "btrfs": "ro,rescue=nologreplay",
}
STACKED = {"LVM2_member": "LVM", "crypto_LUKS": "LUKS", "linux_raid_member": "a software RAID"}


@dataclass(frozen=True)
class Area:
    """A partition of the image, or the whole of it as number 0; in bytes."""

    number: int
    offset: int
    size: int


def to_raw(runner: Runner, image: Path, scratch: Path) -> Path:
    """Return the image as a raw file: itself, or a sparse copy in ``scratch``."""
    disk = _from_ova(image, scratch) if tarfile.is_tarfile(image) else image
    shown = runner.run(["qemu-img", "info", "--output=json", str(disk)], accept=range(256))
    if shown.returncode:
        raise Fault(kinds.PAYLOAD_UNREADABLE, source=image, reason=shown.error_text.strip() or "no disk image")
    found = json.loads(shown.stdout)
    kind = str(found.get("format"))
    if kind not in FORMATS:
        raise Fault(kinds.PAYLOAD_UNREADABLE, source=image, reason=f"the image format {kind} is not known here")
    if found.get("backing-filename"):
        raise Fault(kinds.PAYLOAD_UNREADABLE, source=image, reason="the image needs another one behind it")
    if kind == "raw":
        return disk
    raw = scratch / "disk.raw"
    runner.run(["qemu-img", "convert", "-f", kind, "-O", "raw", str(disk), str(raw)])
    return raw


def areas(raw: Path) -> list[Area]:
    """Return the partitions of a raw image; the whole image where it has no table."""
    with raw.open("rb") as stream:
        table = read.read_table(stream, raw.stat().st_size)
    sector = table.sector_bytes
    if table.gpt is not None:
        return [Area(one.number, one.first_lba * sector, one.sectors * sector) for one in table.gpt.entries]
    if table.mbr is not None and table.mbr.entries:
        return [Area(one.number, one.first_lba * sector, one.sectors * sector) for one in table.mbr.entries]
    return [Area(0, 0, raw.stat().st_size)]


def content(runner: Runner, raw: Path, area: Area) -> str:
    """Return what blkid(8) calls the content of an area, empty where it knows none."""
    argv = ["blkid", "--probe", "--offset", str(area.offset), "--size", str(area.size), "--output", "export"]
    done = runner.run([*argv, str(raw)], accept=(0, 2))
    pairs = dict(line.partition("=")[::2] for line in done.text.splitlines())
    return pairs.get("TYPE", "")


@contextmanager
def mounted(runner: Runner, raw: Path, area: Area, kind: str, target: Path) -> Iterator[Path]:
    """Mount an area read-only at ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    options = f"{OPTIONS[kind]},loop,offset={area.offset},sizelimit={area.size}"
    runner.run(["mount", "-t", kind, "-o", options, str(raw), str(target)])
    try:
        yield target
    finally:
        runner.run(["umount", str(target)])


def export(runner: Runner, image: Path, number: int, target: Path, scratch: Path) -> int:
    """Copy the root file system of an image to ``target``; return the number of its partition.

    ``number`` names the partition, 0 looks for it. A partition of its own for /boot is brought along
    when the root's fstab names one. Raises ``bundle.image_root``, ``bundle.image_lvm``,
    ``bundle.payload_unreadable``.
    """
    raw = to_raw(runner, image, scratch)
    found = [(area, content(runner, raw, area)) for area in areas(raw) if number in (0, area.number)]
    candidates = [(area, kind) for area, kind in found if kind in OPTIONS]
    mount_point = scratch / "mount"
    roots = []
    for area, kind in candidates:
        with mounted(runner, raw, area, kind, mount_point):
            if is_root(mount_point):
                roots.append((area, kind))
    if len(roots) != 1:
        _complain(image, found, [root[0].number for root in roots])
    area, kind = roots[0]
    with mounted(runner, raw, area, kind, mount_point):
        copy(runner, mount_point, target)
    _add_boot(runner, raw, [one for one in candidates if one[0] != area], target, mount_point)
    return area.number


def is_root(tree: Path) -> bool:
    """Tell whether a mounted file system is a Linux root."""
    release = any((tree / name).is_file() or (tree / name).is_symlink() for name in ("etc/os-release",))
    init = any((tree / name).is_symlink() or (tree / name).exists() for name in ("sbin/init", "usr/sbin/init"))
    return release and (init or (tree / "usr/lib/systemd/systemd").exists())


def copy(runner: Runner, source: Path, target: Path) -> None:
    """Copy a tree with owners, modes, links, sparse files, ACLs and extended attributes; cp(1)."""
    target.mkdir(parents=True, exist_ok=True)
    runner.run(
        [
            "cp",
            "--archive",
            "--one-file-system",
            "--sparse=always",
            "--reflink=auto",
            f"{source}/.",
            str(target),
        ]
    )


def _add_boot(runner: Runner, raw: Path, others: list[tuple[Area, str]], target: Path, mount_point: Path) -> None:
    """Bring /boot along where the image has a partition of its own for it: the one that holds kernels."""
    if any((target / "boot").glob("vmlinuz*")):
        return
    for area, kind in others:
        with mounted(runner, raw, area, kind, mount_point):
            if any(mount_point.glob("vmlinuz*")):
                copy(runner, mount_point, target / "boot")
                return


def _complain(image: Path, found: list[tuple[Area, str]], roots: list[int]) -> None:
    for area, kind in found:
        if not roots and kind in STACKED:
            raise Fault(kinds.IMAGE_LVM, image=image, kind=STACKED[kind], number=area.number)
    if len(roots) > 1:
        shown = "partitions " + " and ".join(map(str, roots)) + " both look like one"
    else:
        shown = ", ".join(f"partition {area.number} holds {kind or 'nothing known'}" for area, kind in found)
    raise Fault(kinds.IMAGE_ROOT, image=image, found=shown or "it has no such partition")


def _from_ova(image: Path, scratch: Path) -> Path:
    """Return the only disk of an OVA, which is a tar of an OVF description and its disks (DSP0243)."""
    with tarfile.open(image) as archive:
        disks = [item for item in archive if item.isfile() and item.name.lower().endswith((".vmdk", ".img", ".qcow2"))]
        if len(disks) != 1:
            reason = f"it holds {len(disks)} disks where one is wanted"
            raise Fault(kinds.PAYLOAD_UNREADABLE, source=image, reason=reason)
        source = archive.extractfile(disks[0])
        if source is None:
            raise Fault(kinds.PAYLOAD_UNREADABLE, source=image, reason=f"{disks[0].name} in it is no file")
        target = scratch / "ova-disk"
        with source, target.open("wb") as output:
            while data := source.read(1 << 20):
                output.write(data)
    return target
