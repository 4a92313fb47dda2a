# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Faults of disks, memory and payload in stage two: a staged host starts with one thing wrong.

The machines are those of the crash matrix: unattended, without a network, from the one-shot of the old system to
the end. What is broken is broken between the two stages, or by QEMU while stage two works.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import evaluate, filesystems, recorder
from .evaluate import NEW, OLD, RESCUE
from .prepare import Prepared

MIB = 1 << 20
LIMIT_SECONDS = 1200.0
_ERROR = r"I/O error, dev vda, sector \d+ op"


@dataclass
class Context:
    """One start in the making: the image that may be changed, QEMU's argv for disks, and what is watched."""

    prepared: Prepared
    image: Path
    scratch: Path
    #: Rules of QEMU's blkdebug for the system disk.
    errors: list[dict[str, Any]] = field(default_factory=list)
    options: str = ""
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    memory: int = recorder.MEMORY_MIB
    #: The system disk takes no writes.
    read_only: bool = False
    #: What a tool says of the fault in the image, where the console shows nothing of it.
    shown: str = ""
    #: Files that must be the same afterwards.
    watched: dict[Path, str] = field(default_factory=dict)

    def sector(self, part: str) -> int:
        """Return the first sector of a partition of the new layout."""
        return self.prepared.target.layout.partition(part).start_lba

    def lifeboat(self, part: str) -> int:
        """Return the first byte of a part of the lifeboat."""
        document = json.loads((self.prepared.folder / "lifeboat.json").read_text())
        return int(document["parts"][part]["extents"][0][0])

    def fail(self, iotype: str, sector: int, *, once: bool = False) -> None:
        rule = {"event": "none", "iotype": iotype, "errno": 5, "sector": sector, "once": once, "immediately": True}
        self.errors.append(rule)

    def add_disk(self, serial: str, *, first: bool = False, content: Path | None = None) -> Path:
        """Add a disk, before the system disk on the bus or behind it; it must stay as it is."""
        path = self.scratch / f"extra-{serial}.img"
        if content is None:
            path.write_bytes(b"")
            with path.open("r+b") as file:
                file.truncate(64 * MIB)
                file.write(b"data of somebody else" * 1000)
        else:
            recorder.copy_image(content, path)
        name = f"extra{len(self.watched)}"
        words = ["-drive", f"file={path},format=raw,if=none,id={name},cache=unsafe"]
        words += ["-device", f"virtio-blk-pci,drive={name},serial={serial}"]
        (self.before if first else self.after).extend(words)
        self.watched[path] = digest(path)
        return path

    def write(self, offset: int, data: bytes) -> None:
        with self.image.open("r+b") as file:
            file.seek(offset)
            file.write(data)


@dataclass(frozen=True)
class Row:
    """``wanted`` are the classes that may come out, ``proof`` is what the console shows of the fault.

    Without a ``proof``, what a tool says of the image before the start is the proof.
    """

    name: str
    arrange: Callable[[Context], None]
    wanted: tuple[str, ...]
    proof: str
    fault: str = ""


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:
    total = hashlib.sha256()
    while data := file.read(MIB):
        total.update(data)
    return total.hexdigest()


def run_row(prepared: Prepared, row: Row, scratch: Path) -> dict[str, Any]:
    """Start the staged host with one fault; return the line for the matrix, ``problem`` empty where it is right."""
    image = scratch / "fault.img"
    recorder.copy_image(prepared.folder / "staged.img", image)
    context = Context(prepared, image, scratch)
    row.arrange(context)
    run = recorder.watch(arguments(context), LIMIT_SECONDS)
    outcome = evaluate.judge(prepared.target, run, image, scratch / "mount")
    shown = re.search(row.proof, run.text) if row.proof else re.match(".+", context.shown)
    # Stage two always starts here; only where it starts again something was resumed.
    kind = NEW if outcome.kind == evaluate.RESUME and outcome.starts <= 1 else outcome.kind
    problem = outcome.problem if kind == evaluate.BRICK else ""
    if kind not in row.wanted:
        problem = f"{kind} and not {' or '.join(row.wanted)}: {outcome.problem}"
    elif shown is None:
        problem = f"no proof that the fault landed: {row.proof}"
    elif row.fault and row.fault not in run.text:
        problem = f"the console does not name {row.fault}"
    changed = [path.name for path, before in context.watched.items() if digest(path) != before]
    if changed:
        problem = f"disks of others were changed: {', '.join(changed)}"
    for path in context.watched:
        path.unlink()
    (scratch / "serial.log").write_text(run.text)
    return {
        "row": row.name,
        "outcome": kind,
        "fault": row.fault,
        "proof": shown[0].strip() if shown else "",
        "problem": problem,
        "seconds": round(outcome.seconds, 1),
    }


def arguments(context: Context) -> list[str]:
    """Return QEMU's argv: the system disk boots wherever it stands on the bus."""
    words = recorder.arguments(context.prepared.target.combo, None)
    words[words.index("-m") + 1] = str(context.memory)
    words[-1] += ",bootindex=0" + context.options
    disk = words[-2:]
    access = ",read-only=on" if context.read_only else ""
    node = ["-blockdev", f"driver=file,filename={context.image},node-name=image,cache.no-flush=on{access}"]
    chain: dict[str, Any] = {"driver": "blkdebug", "node-name": "disk", "image": "image"}
    if context.read_only:
        chain["read-only"] = True
    if context.errors:
        chain["inject-error"] = context.errors
    return [*words[:-2], *context.before, *node, "-blockdev", json.dumps(chain), *disk, *context.after]


# --- what goes wrong -----------------------------------------------------------------------------


def _same_serial(context: Context) -> None:
    context.add_disk("CRASH0815", content=context.prepared.folder / "staged.img")


def _too_small(context: Context) -> None:
    with context.image.open("r+b") as file:
        file.truncate(context.image.stat().st_size - 512)


def _bit_in_payload(context: Context) -> None:
    offset = context.lifeboat("payload") + 4097
    with context.image.open("rb") as file:
        file.seek(offset)
        value = file.read(1)[0]
    context.write(offset, bytes([value ^ 0x10]))


def _group_of_the_same_name(context: Context) -> None:
    """A second disk with a volume group of the name that the layout uses, made by LVM itself."""
    path = context.add_disk("OTHER-VG")
    group = context.prepared.target.layout.volume_groups[0].name
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(64 * MIB)
    with filesystems.loop(path) as device:
        only = f'devices {{ filter = [ "a|^{device}$|", "r|.*|" ] use_devicesfile = 0 }}'
        for command in (("pvcreate", "-ff", "-y", device), ("vgcreate", group, device)):
            filesystems.run(*command, "--config", only)
    context.watched[path] = digest(path)


def _stale_signatures(context: Context) -> None:
    """What an earlier use left at the end of the disk: a whole second GPT, and before it a member of an array."""
    size = context.image.stat().st_size
    other = context.scratch / "other.img"
    other.write_bytes(b"")
    with other.open("r+b") as file:
        file.truncate(size)
        filesystems.run("sgdisk", "--new=1:2048:+64M", "--change-name=1:stale", str(other))
        file.seek(size - 33 * 512)
        context.write(size - 33 * 512, file.read(33 * 512))
    other.unlink()
    # md(4), version 0.90: the last whole 64 KiB but one. linux/raid/md_p.h: magic, major, minor version.
    context.write((size // 65536 - 1) * 65536, struct.pack("<III", 0xA92B4EFC, 0, 90) + bytes(4084))
    context.shown = _signatures(context, 0, size, "linux_raid_member", "gpt")


def _stale_inside(context: Context) -> None:
    """Where new partitions will begin: LVM with the layout's own group name, and btrfs.

    They lie in files of the old system, as images of other machines may, and come to light with the new table.
    """
    layout = context.prepared.target.layout
    group = layout.volume_groups[0]
    part = layout.partition(group.partitions[0])
    start, size = part.start_lba * layout.sector_bytes, part.sectors * layout.sector_bytes
    with filesystems.loop(context.image, start, size) as device:
        only = f'devices {{ filter = [ "a|^{device}$|", "r|.*|" ] use_devicesfile = 0 }}'
        for command in (("pvcreate", "-ff", "-y", device), ("vgcreate", group.name, device)):
            filesystems.run(*command, "--config", only)
    context.shown = _signatures(context, start, size, "LVM2_member")
    dispatch = layout.partition(layout.dispatch)
    at = dispatch.start_lba * layout.sector_bytes
    # btrfs: the superblock lies at 64 KiB, its magic at byte 64 of it (btrfs(5), on-disk format).
    context.write(at + 65536 + 64, b"_BHRfS_M")
    context.shown += " and, magic alone, btrfs"


def _signatures(context: Context, start: int, size: int, *wanted: str) -> str:
    """Return what wipefs(8) finds there; raises ``RuntimeError`` where that is not what was put there."""
    with filesystems.loop(context.image, start, size) as device:
        found = json.loads(filesystems.run("wipefs", "--no-act", "--json", device))["signatures"]
    kinds = [str(one["type"]) for one in found]
    if not set(wanted) <= set(kinds):
        raise RuntimeError(f"no {' and '.join(wanted)}, but {kinds}")
    return f"wipefs before: {', '.join(sorted(set(kinds)))}"


def _missing(context: Context) -> None:
    """The disk is gone once the boot loader has read kernel and initramfs: its driver may not be loaded."""
    root = context.prepared.target.root
    mount = context.scratch / "mount"
    with (
        filesystems.loop(context.image, root.start, root.size) as device,
        filesystems.mounted(device, mount, context.prepared.target.combo.fstype) as folder,
    ):
        config = folder / "boot/grub/custom.cfg"
        text = config.read_text()
        if "dualroot.mode=convert" not in text:
            raise RuntimeError("no entry of the one-shot")
        config.write_text(text.replace("dualroot.mode=convert", "dualroot.mode=convert module_blacklist=virtio_blk"))


def _take_no_writes(context: Context) -> None:
    context.read_only = True


def _io(iotype: str, place: Callable[[Context], int], *, once: bool = False) -> Callable[[Context], None]:
    return lambda context: context.fail(iotype, place(context), once=once)


def _root(context: Context) -> int:
    return evaluate.root_place(context.prepared.target.layout, "a")[0] // 512 + 2


_ANY = (OLD, RESCUE)
ROWS = (
    Row(
        "disks: a second one",
        lambda one: one.add_disk("OTHER") and None,
        (NEW,),
        r"found virtio-blk at 00:05[^\n]*",
    ),
    Row(
        "disks: in another order",
        lambda one: one.add_disk("OTHER", first=True) and None,
        (NEW,),
        r"would replace table[^\n]* on /dev/vdb",
    ),
    Row("disks: two with the same serial", _same_serial, (OLD,), r"found virtio-blk at 00:05[^\n]*", "disk.in_doubt"),
    Row("disk: one sector too small", _too_small, (OLD,), r"disk\.in_doubt[^\n]*", "disk.in_doubt"),
    Row("payload: one bit in the lifeboat", _bit_in_payload, (OLD,), r"lifeboat\.damaged[^\n]*", "lifeboat.damaged"),
    Row(
        "volume group of the layout's name on another disk",
        _group_of_the_same_name,
        (OLD,),
        r"volumes\.group_name_taken[^\n]*",
        "volumes.group_name_taken",
    ),
    Row(
        "memory: less than was planned with",
        lambda one: setattr(one, "memory", 352),
        (NEW, OLD),
        r"0000000000100000 - 0+15[0-9a-f]+ = 1 RAM",
    ),
    Row("stale signatures: md and a second GPT at the end of the disk", _stale_signatures, (NEW,), ""),
    Row("stale signatures: LVM of the layout's group name and btrfs, inside", _stale_inside, (NEW,), ""),
    Row(
        "disk: missing in stage two",
        _missing,
        (OLD,),
        r"Module virtio_blk is blacklisted|disk\.[a-z_]+: [^\n]*",
        "disk.not_found",
    ),
    # What it holds for is printed behind the words at which the harness ends: in front of the point of no return it
    # holds for nothing but the one-shot (``stage_two.one_shot_stays``).
    Row("disk: takes no writes", _take_no_writes, (RESCUE,), r"error: failure writing sector[^\n]*"),
    Row(
        "read errors: payload in the lifeboat",
        _io("read", lambda one: one.lifeboat("payload") // 512 + 8),
        (OLD,),
        _ERROR,
    ),
    Row("write errors: first sector, the change of control", _io("write", lambda one: 0), _ANY, _ERROR),
    Row("write errors: table", _io("write", lambda one: 1), (RESCUE,), _ERROR),
    Row("write errors: physical volume", _io("write", lambda one: one.sector("va") + 1), (RESCUE,), _ERROR),
    Row("write errors: root", _io("write", _root), (RESCUE,), _ERROR),
    Row("write errors: boot partition", _io("write", lambda one: one.sector("bios")), (RESCUE,), _ERROR),
    Row("write error, once: table", _io("write", lambda one: 1, once=True), (NEW,), _ERROR),
    Row("read errors: root", _io("read", _root), (OLD, RESCUE, NEW), _ERROR),
)
