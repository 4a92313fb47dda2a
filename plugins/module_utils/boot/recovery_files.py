# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recovery system on the dispatch file system: the convert environment, and the host's part of its initramfs.

Stage two writes both. An update renews the host's part alone: it has a fresh capture, and by an old one the recovery
system would come up at an address that the host has left, and let in who was shut out since. The dispatcher loads
these names and no others (``_dispatcher_script``), so what a power cut leaves under a temporary name does no harm; it
goes with the next write of that file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import write_file
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..shape import parse
from . import cpio

FOLDER = "recovery"
#: The convert environment as it is called in the folder ``environment`` and on the dispatch partition.
KERNEL_NAME = "vmlinuz"
INITRD_NAME = "initrd.img"
HOST_CPIO_NAME = "host.cpio"
#: The host's own part inside the convert initrd, handed on to the recovery system.
HOST_FILES = Path("/etc/dualroot")
PLAN_NAME = "plan.json"
CAPTURE_NAME = "capture.json"


def install(dispatch_mount: Path, plan: Mapping[str, Any], environment: Path, host_files: Path = HOST_FILES) -> None:
    """Put the recovery system on the dispatch partition: the convert environment and the host's part.

    Raises ``Fault`` ``boot.recovery_damaged``, and ``OSError``.
    """
    folder = dispatch_mount / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for key, name in (("kernel", KERNEL_NAME), ("initrd", INITRD_NAME)):
        wanted = plan.get("environment", {}).get(key, {}).get("sha256", "")
        _copy_checked(environment / name, folder / name, wanted)
    documents = {
        name: parse((host_files / name).read_bytes())
        for name in (PLAN_NAME, CAPTURE_NAME)
        if (host_files / name).is_file()
    }
    _write_host_part(folder, documents)


def renew(dispatch_mount: Path, plan: Mapping[str, Any], capture: Mapping[str, Any]) -> bool:
    """Write the host's part anew; return whether there is a recovery system that it belongs to.

    ``dispatch_mount`` is mounted writable. After a power cut the old part is there or the new one, whole. Raises
    ``OSError``.
    """
    folder = dispatch_mount / FOLDER
    if not all((folder / name).is_file() for name in (KERNEL_NAME, INITRD_NAME)):
        return False
    _write_host_part(folder, {PLAN_NAME: plan, CAPTURE_NAME: capture})
    return True


def host_part(documents: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the archive of ``documents``, by name: plan and capture, as stage two reads them."""
    return cpio.pack({f"etc/dualroot/{name}": _text(document) for name, document in documents.items()})


def _write_host_part(folder: Path, documents: Mapping[str, Mapping[str, Any]]) -> None:
    write_file(folder / HOST_CPIO_NAME, host_part(documents), 0o600)


def _text(document: Mapping[str, Any]) -> bytes:
    # What the operator has carried over has up to 16 MiB, may be secret, and is of no use to the recovery system.
    kept = {name: value for name, value in document.items() if name != "extra_paths"}
    return json.dumps(kept, indent=1, sort_keys=True).encode("ascii") + b"\n"


def _copy_checked(source: Path, target: Path, wanted: str) -> None:
    """Copy by a second name and hash what was written; nothing is replaced by a damaged file."""
    temporary = target.with_name(target.name + ".new")
    shutil.copyfile(source, temporary)
    digest = hashlib.sha256()
    with temporary.open("rb+") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        os.fsync(file.fileno())
    if wanted and digest.hexdigest() != wanted:
        temporary.unlink()
        raise Fault(kinds.RECOVERY_DAMAGED, file=source, found=digest.hexdigest(), wanted=wanted)
    temporary.replace(target)
