# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps a copy of a partition table before it is changed."""

from __future__ import annotations

from pathlib import Path

from ..runner import Runner
from . import sysfs
from .mbr import SECTOR_BYTES
from .read import Table


def save(runner: Runner, node: str, found: Table, directory: Path, stamp: str, root: Path = sysfs.ROOT) -> str:
    """Save the table of a disk and return the path of the copy, or an empty text where there is none.

    A GPT is saved by ``sgdisk --backup``, to be brought back with ``--load-backup`` or with the
    module's ``backup_file``; an MBR as its 512 bytes, to be brought back with dd.
    """
    if found.kind == "none":
        return ""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{node.strip('/').replace('/', '-')}-{stamp}"
    path = directory / f"{name}.{'gpt' if found.gpt else 'mbr'}"
    if found.gpt:
        runner.run(["sgdisk", f"--backup={path}", node])
    else:
        with (root / node.lstrip("/")).open("rb") as stream:
            path.write_bytes(stream.read(SECTOR_BYTES))
    path.chmod(0o600)
    return str(path)
