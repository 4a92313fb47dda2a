# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trees into archives, reproducibly: cpio for the kernel, tar for root file systems."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from ..runner import CommandFailed, Result, Runner
from . import cpio

#: Options of tar for a root file system whose every attribute counts; tar(1). The names of the
#: extended headers and their times would otherwise hold the process id and the time of packing.
TAR_OPTIONS = (
    "--create",
    "--format=posix",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--numeric-owner",
    "--sort=name",
    "--acls",
    "--xattrs",
    "--xattrs-include=*",
)


def pack_cpio(runner: Runner, root: Path, target: Path, epoch: int, level: int) -> int:
    """Pack ``root`` as zstd-compressed newc cpio; return the bytes that it takes unpacked."""
    # -T2: the bytes are the same for every number of threads but not for --single-thread; the window stays
    # within the 128 MiB that the kernel allows (lib/decompress_unzstd.c).
    argv = ["zstd", "-q", "-T2", f"-{level}", "-f", "-o", str(target)]
    process = runner.start(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        unpacked = cpio.write(root, cast(IO[bytes], process.stdin), epoch)
    finally:
        error = process.communicate()[1]
    if process.returncode:
        raise CommandFailed(Result(tuple(argv), process.returncode, b"", error or b""))
    return unpacked


def compressor(compression: str, level: int) -> list[str]:
    """Return the argv that compresses standard input; ``none`` gives an empty list."""
    return {
        "zstd": ["zstd", "-q", "-T2", *(["--ultra"] if level > 19 else []), f"-{level}"],
        "xz": ["xz", "-T2", "--block-size=64MiB", f"-{min(level, 9)}"],
        "gzip": ["gzip", "-n", f"-{min(level, 9)}"],
        "none": [],
    }[compression]


def pack_tar(
    runner: Runner,
    root: Path,
    target: Path,
    compress: Sequence[str],
    epoch: int,
    *,
    own: bool = True,
    extra: Sequence[str] = (),
) -> None:
    """Pack ``root`` as tar, through ``compress`` where given.

    ``own``: every file belongs to root and has the time ``epoch``; otherwise owners are kept and
    only times after ``epoch`` are set back to it.
    """
    argv = ["tar", *TAR_OPTIONS, f"--mtime=@{epoch}", *extra]
    argv += ["--owner=0", "--group=0"] if own else ["--clamp-mtime"]
    if compress:
        argv.append(f"--use-compress-program={' '.join(compress)}")
    runner.run([*argv, f"--file={target}", f"--directory={root}", "."])
