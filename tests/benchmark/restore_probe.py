# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs inside a guest, as root: the restore engine against a plain pipe, in turns on one file system.

Usage: restore_probe.py ENGINE_FOLDER PAYLOAD.tar.zst PAYLOAD.tar.xz SCRATCH ROUNDS
Prints one JSON line: seconds of each round by way, ``{"engine": [...], "zstd_pipe": [...], "tar_xz": [...]}``.
Every way ends with the file system flushed, since a restore that is not on the disk has not happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

#: The options that both sides use, so that only the way differs.
TAR = ["tar", "--extract", "--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*", "--acls"]


def by_engine(payload: Path, target: Path) -> None:
    from dualroot.archive.restore import Order, restore
    from dualroot.runner import CommandRunner

    restore(CommandRunner(), Order(payload, target, sha256=DIGESTS[payload]))


def by_zstd_pipe(payload: Path, target: Path) -> None:
    with subprocess.Popen(["zstd", "-dc", str(payload)], stdout=subprocess.PIPE) as unpack:
        subprocess.run([*TAR, "-C", str(target)], stdin=unpack.stdout, check=True)
    if unpack.returncode:
        raise SystemExit(f"zstd ended with {unpack.returncode}")


def by_tar_xz(payload: Path, target: Path) -> None:
    subprocess.run([*TAR, "-J", "-C", str(target), "-f", str(payload)], check=True)


def measure(way, payload: Path, target: Path) -> float:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")
    # Both sides read the payload from memory, as stage two does.
    payload.read_bytes()
    began = time.monotonic()
    way(payload, target)
    subprocess.run(["sync", "-f", str(target)], check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    engine, zst, xz, scratch, rounds = sys.argv[1:]
    sys.path.insert(0, engine)
    DIGESTS = {Path(zst): hashlib.sha256(Path(zst).read_bytes()).hexdigest()}
    seconds: dict[str, list[float]] = {"engine": [], "zstd_pipe": [], "tar_xz": []}
    for _round in range(int(rounds)):
        for name, way, payload in (
            ("engine", by_engine, Path(zst)),
            ("zstd_pipe", by_zstd_pipe, Path(zst)),
            ("tar_xz", by_tar_xz, Path(xz)),
        ):
            seconds[name].append(round(measure(way, payload, Path(scratch)), 2))
    print(json.dumps(seconds))
