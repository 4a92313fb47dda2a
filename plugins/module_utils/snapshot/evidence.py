# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is always saved of a disk before it is rewritten: table, boot sectors, LVM metadata.

Raw sectors are read by the program itself, because an old host may have neither sgdisk nor a
recent sfdisk; the tools' own dumps are added where the tools are there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ..faults import snapshot as kinds
from ..faults.fault import Fault
from ..runner import Runner
from ..units import MIB

#: Boot sector, table, and what GRUB keeps between the table and the first partition.
START_BYTES = MIB
#: Sectors of a backup GPT with 128 entries of 128 bytes and sectors of 512 bytes, UEFI specification 5.3.
END_SECTORS = 34
#: The boot block of a partition: GRUB's and Windows' loaders, superblocks lie behind it.
PARTITION_BYTES = 8192
ARCHIVE = "evidence.tar.gz"
INDEX = "evidence.json"


class Which(Protocol):
    """As ``shutil.which``."""

    def __call__(self, program: str) -> str | None: ...


def save(runner: Runner, which: Which, disk: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Save everything about ``disk`` (as the probe describes it) into ``folder``.

    Returns ``{"archive": {path, sha256, size}, "files": {name: sha256}}``. A second call with the
    files in place reads them and writes nothing. Raises ``Fault`` ``snapshot.disk_unreadable``.
    """
    saved = read_saved(folder)
    if saved is not None:
        return saved
    contents = collect(runner, which, disk)
    make_folder(folder)
    packed = pack(contents)
    write_private(folder / ARCHIVE, packed)
    record = {
        "archive": {"path": str(folder / ARCHIVE), "sha256": _digest(packed), "size": len(packed)},
        "files": {name: _digest(content) for name, content in sorted(contents.items())},
    }
    write_private(folder / INDEX, (json.dumps(record, indent=2) + "\n").encode())
    return record


def read_saved(folder: Path) -> dict[str, Any] | None:
    """Return the record of what was saved before, if it is still whole."""
    try:
        record: dict[str, Any] = json.loads((folder / INDEX).read_bytes())
        whole = _digest((folder / ARCHIVE).read_bytes()) == record["archive"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def collect(runner: Runner, which: Which, disk: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of the evidence by name."""
    node, size = str(disk["name"]), int(disk["size_bytes"])
    end = END_SECTORS * int(disk.get("logical_sector_bytes") or 512)
    contents = {
        "disk.json": (json.dumps(disk, indent=2, sort_keys=True) + "\n").encode(),
        "start.bin": _read(node, 0, min(START_BYTES, size)),
        "end.bin": _read(node, max(0, size - end), min(end, size)),
    }
    sector = int(disk.get("logical_sector_bytes") or 512)
    for partition in disk.get("partitions") or []:
        length = min(PARTITION_BYTES, int(partition["sectors"]) * sector)
        start = int(partition["start_lba"]) * sector
        contents[f"partition-{partition['number']}.bin"] = _read(node, start, length)
    contents.update(_dumps(runner, which, node))
    return contents


def _dumps(runner: Runner, which: Which, node: str) -> dict[str, bytes]:
    dumps: dict[str, bytes] = {}
    if which("sfdisk"):
        # Old sfdisk fails on GPT; the raw sectors are there in any case.
        result = runner.run(("sfdisk", "--dump", node), accept=range(256))
        if result.returncode == 0 and result.stdout:
            dumps["table.sfdisk"] = result.stdout
    if which("vgcfgbackup") and which("vgs"):
        listed = runner.run(("vgs", "--noheadings", "--options", "vg_name"), accept=range(256))
        for name in listed.text.split() if listed.returncode == 0 else []:
            done = runner.run(("vgcfgbackup", "--file", "/dev/stdout", name), accept=range(256))
            if done.returncode == 0:
                dumps[f"lvm-{name}.vg"] = done.stdout
    return dumps


def _read(node: str, start: int, length: int) -> bytes:
    try:
        with open(node, "rb", buffering=0) as device:
            device.seek(start)
            content = b""
            while len(content) < length:
                piece = device.read(length - len(content))
                if not piece:
                    raise Fault(kinds.DISK_UNREADABLE, disk=node, problem=f"it ends at byte {start + len(content)}")
                content += piece
            return content
    except OSError as error:
        raise Fault(kinds.DISK_UNREADABLE, disk=node, problem=str(error)) from error


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Return a .tar.gz with these files; the same files give the same bytes."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(contents.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def make_folder(folder: Path) -> None:
    """Make a folder and what is missing above it with mode 0700; mkdir's mode is for the last one only."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file as a whole, mode 0600, durable when this returns."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
