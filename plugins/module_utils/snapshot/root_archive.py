# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The old root as an archive: made on the host, fetched by the controller afterwards."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..faults import snapshot as kinds
from ..faults.fault import Fault
from ..runner import CommandFailed, Runner
from ..units import format_size
from .evidence import Which, make_folder, write_private

#: A packed root takes about this share of what is used; the same figure as preflight's.
SHARE = 0.6
#: Nothing that this project itself put there, and nothing that is made anew at every start.
EXCLUDES: tuple[str, ...] = (
    "./var/lib/dualroot",
    "./boot/dualroot",
    "./proc/*",
    "./sys/*",
    "./dev/*",
    "./run/*",
    "./tmp/*",
    "./var/tmp/*",
    "./lost+found",
)
#: GNU tar: 1 means that some file changed while it was read, which a running system does (tar(1)).
CHANGED_WHILE_READ = 1
RECORD = "archive.json"
_CHUNK = 1 << 20


def command(target: Path, compressor: str, excludes: Sequence[str], root: str = "/") -> tuple[str, ...]:
    """Return the argv of GNU tar; it also runs on tar 1.26 (CentOS 7)."""
    return (
        "tar",
        "--create",
        f"--file={target}",
        f"--use-compress-program={compressor}",
        f"--directory={root}",
        "--one-file-system",
        "--numeric-owner",
        "--sparse",
        "--xattrs",
        "--acls",
        "--selinux",
        "--warning=no-file-ignored",
        *(f"--exclude={pattern}" for pattern in (*EXCLUDES, *excludes)),
        ".",
    )


def make(runner: Runner, which: Which, folder: Path, excludes: Sequence[str], used: int, free: int) -> dict[str, Any]:
    """Archive the running root into ``folder``; ``used`` and ``free`` are bytes.

    Returns ``{path, sha256, size, compression}``; a second call with the archive in place makes no new
    one. Raises ``Fault`` ``snapshot.no_room`` or ``snapshot.archive_failed``, and leaves no half archive.
    """
    made = read_made(folder)
    if made is not None:
        return made
    needed = int(used * SHARE)
    if needed > free:
        raise Fault(kinds.NO_ROOM, needed=format_size(needed), directory=folder, free=format_size(free))
    compressor, suffix = ("zstd", "zst") if which("zstd") else ("gzip", "gz")
    make_folder(folder)
    target = folder / f"root.tar.{suffix}"
    partial = folder / f".root.tar.{suffix}.partial"
    # Created first, so that it is never readable by others, whatever the umask is.
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        runner.run(command(partial, compressor, excludes), accept=(0, CHANGED_WHILE_READ))
    except CommandFailed as error:
        partial.unlink()
        problem = error.result.error_text.strip()[-400:] or f"status {error.result.returncode}"
        raise Fault(kinds.ARCHIVE_FAILED, problem=problem) from error
    os.replace(partial, target)
    made = {
        "path": str(target),
        "sha256": _hash(target),
        "size": target.stat().st_size,
        "compression": {"zst": "zstd", "gz": "gzip"}[suffix],
    }
    write_private(folder / RECORD, (json.dumps(made) + "\n").encode())
    return made


def read_made(folder: Path) -> dict[str, Any] | None:
    """Return the record of an archive that was made before and is still there."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_bytes())
        whole = Path(record["path"]).stat().st_size == record["size"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if whole else None


def _hash(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()
