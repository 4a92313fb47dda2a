# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the phase snapshot of a migration left on the controller: archive and evidence of one host."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive.compression import decompressor
from ..faults import revive as kinds
from ..faults.fault import Fault
from ..runner import Runner
from ..snapshot import evidence

#: Names of the archive, and how each is packed.
ARCHIVES = {"root.tar.zst": "zstd", "root.tar.gz": "gzip"}
#: Beside the archive, as sha256sum(1) writes it.
DIGEST_SUFFIX = ".sha256"
_DIGEST = re.compile(r"[0-9a-f]{64}")
#: Far more than a mebibyte of sectors packs to; nothing larger is read into memory.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class Saved:
    """``recorded`` is the digest that was kept when the archive was made, empty where none was."""

    run_id: str
    archive: Path
    compression: str
    size: int
    sha256: str
    recorded: str
    evidence: Path
    evidence_sha256: str
    contents: Mapping[str, bytes]
    disk: Mapping[str, Any]
    made: float


def find(reports: Path, host: str, run_id: str = "") -> Path:
    """Return the folder of the run, or of the newest one that has an archive; raises ``revive.no_archive``."""
    names = [run_id] if run_id else [path.name for path in sorted(reports.glob("*"), reverse=True) if path.is_dir()]
    for name in names:
        folder = reports / name / host
        if (folder / evidence.ARCHIVE).is_file() and _archive(folder) is not None:
            return folder
    raise Fault(kinds.NO_ARCHIVE, folder=reports, run=f" of run {run_id}" if run_id else "")


def load(folder: Path) -> Saved:
    """Read what a run has saved; the archive is hashed as it is.

    Raises ``revive.no_archive`` or ``revive.evidence_damaged``.
    """
    archive = _archive(folder)
    if archive is None:
        raise Fault(kinds.NO_ARCHIVE, folder=folder, run="")
    path = folder / evidence.ARCHIVE
    packed = path.read_bytes()
    contents = unpack(packed, path)
    return Saved(
        run_id=folder.parent.name,
        archive=archive,
        compression=ARCHIVES[archive.name],
        size=archive.stat().st_size,
        sha256=digest(archive),
        recorded=_recorded(archive),
        evidence=path,
        evidence_sha256=hashlib.sha256(packed).hexdigest(),
        contents=contents,
        disk=_disk(contents, path),
        made=archive.stat().st_mtime,
    )


def unpack(packed: bytes, path: Path) -> dict[str, bytes]:
    """Return the files of an evidence archive by name; raises ``revive.evidence_damaged``."""
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            members = [one for one in archive.getmembers() if one.isfile() and one.size <= _MOST_BYTES]
            opened = {one.name: archive.extractfile(one) for one in members}
            return {name: stream.read() for name, stream in opened.items() if stream is not None}
    except (OSError, tarfile.TarError, EOFError) as error:
        raise Fault(kinds.EVIDENCE_DAMAGED, file=path, problem=f"it cannot be unpacked ({error})") from error


def unpacked_bytes(runner: Runner, archive: Path, packed_by: str) -> int:
    """Return how many bytes of tar an archive has, by unpacking it to nowhere; 0 where that fails."""
    with archive.open("rb") as source:
        process = runner.start(decompressor(packed_by), stdin=source, stdout=subprocess.PIPE)
        total = 0
        with process:
            while process.stdout is not None and (piece := process.stdout.read(1 << 20)):
                total += len(piece)
    return total if process.returncode == 0 else 0


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


def _archive(folder: Path) -> Path | None:
    return next((folder / name for name in ARCHIVES if (folder / name).is_file()), None)


def _recorded(archive: Path) -> str:
    path = archive.with_name(archive.name + DIGEST_SUFFIX)
    if not path.is_file():
        return ""
    word = path.read_text("ascii", "replace").split()[:1]
    # What is there and no digest must not pass for one that was never kept.
    return word[0].lower() if word and _DIGEST.fullmatch(word[0].lower()) else "unreadable"


def _disk(contents: Mapping[str, bytes], path: Path) -> Mapping[str, Any]:
    try:
        disk = json.loads(contents["disk.json"])
    except (KeyError, ValueError) as error:
        raise Fault(kinds.EVIDENCE_DAMAGED, file=path, problem="it has no readable disk.json") from error
    wanted = ("start.bin", "end.bin")
    missing = [name for name in wanted if name not in contents]
    if missing or not isinstance(disk, dict) or not isinstance(disk.get("partitions"), list):
        raise Fault(kinds.EVIDENCE_DAMAGED, file=path, problem=f"it lacks {', '.join(missing) or 'partitions'}")
    return disk
