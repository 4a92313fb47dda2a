# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Extra files and folders that the operator wants to keep: ``dualroot_capture_paths``.

They travel inside the capture document and therefore in the RAM of stage two, so their size is
limited. Owners are kept by name, because a service may have another id on the new system.
"""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..faults import capture as kinds
from ..faults.fault import Fault
from ..units import MIB, format_size
from .finding import finding, finding_of
from .tree import inside, read_text
from .write import Writer

DEFAULT_LIMIT = 16 * MIB
#: What an entry costs beside its content, about.
_ENTRY_SIZE = 512
#: Whole trees that belong to the system and not to what it is used for, and files that the capture
#: itself merges: their content would overwrite the new system's.
_REFUSED_TREES = (
    "/boot",
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/var/lib/dualroot",
    "/lib/modules",
    "/usr/lib/modules",
)
_REFUSED = frozenset(
    [
        "/",
        "/bin",
        "/etc",
        "/lib",
        "/lib64",
        "/sbin",
        "/usr",
        "/var",
        "/etc/passwd",
        "/etc/shadow",
        "/etc/group",
        "/etc/gshadow",
        "/etc/fstab",
        "/etc/crypttab",
        "/etc/machine-id",
        "/etc/sudoers",
        "/etc/network/interfaces",
        "/etc/resolv.conf",
        "/etc/ssh",
        "/etc/ssh/sshd_config",
        "/etc/hostname",
        "/etc/os-release",
        "/etc/ld.so.cache",
    ]
)


def read(
    root: Path, paths: Sequence[str], limit: int = DEFAULT_LIMIT
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return ``(entries, findings)``; a path that is missing, refused or too large is a refusal.

    An entry is ``{path, type: file|folder|link, mode, uid, gid, owner, group, mtime}`` with
    ``content_b64``, ``target`` and ``xattrs`` where they apply. Folders come before their content.
    """
    entries: list[dict[str, Any]] = []
    findings: list[dict[str, str]] = []
    left = limit
    for wanted in paths:
        try:
            path = normalised(wanted)
            if not os.path.lexists(inside(root, path, follow_last=False)):
                raise Fault(kinds.PATH_MISSING, path=wanted)
            left = _read_path(root, path, left, limit, entries, findings)
        except Fault as fault:
            findings.append(finding_of(fault))
    return entries, findings


def _read_path(
    root: Path,
    path: str,
    left: int,
    limit: int,
    entries: list[dict[str, Any]],
    findings: list[dict[str, str]],
) -> int:
    """Add one path and all below it; returns how many bytes may still follow."""
    for name in _walk(root, path):
        # Before it is read: a file may be larger than the memory.
        left -= _ENTRY_SIZE + inside(root, name, follow_last=False).lstat().st_size
        if left < 0:
            raise Fault(kinds.PATHS_TOO_LARGE, limit=format_size(limit), path=name)
        entry = _entry(root, name)
        if entry is None:
            findings.append(finding(kinds.SPECIAL_FILE, path=name))
        else:
            entries.append(entry)
    return left


def normalised(path: str) -> str:
    """Return the path without ``//`` and trailing ``/``; a fault for one that is refused."""
    clean = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
    is_refused = clean in _REFUSED or any(clean == tree or clean.startswith(f"{tree}/") for tree in _REFUSED_TREES)
    if not path.startswith("/") or ".." in path.split("/") or is_refused:
        raise Fault(kinds.PATH_REFUSED, path=path)
    return clean


def apply(writer: Writer, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the entries of a capture into the new root."""
    users = _ids(writer.root, "/etc/passwd")
    groups = _ids(writer.root, "/etc/group")
    for entry in entries:
        uid = users.get(entry.get("owner", ""), entry["uid"])
        gid = groups.get(entry.get("group", ""), entry["gid"])
        path = entry["path"]
        if entry["type"] == "link":
            writer.link(path, entry["target"])
            continue
        if entry["type"] == "folder":
            writer.folder(path, mode=entry["mode"], uid=uid, gid=gid)
        else:
            content = base64.b64decode(entry["content_b64"])
            writer.own_file(path, content, mode=entry["mode"], uid=uid, gid=gid)
        _finish(inside(writer.root, path, follow_last=False), entry)


def _finish(target: Path, entry: Mapping[str, Any]) -> None:
    for name, value in entry.get("xattrs", {}).items():
        os.setxattr(target, name, base64.b64decode(value), follow_symlinks=False)
    if entry["type"] == "file":
        os.utime(target, (entry["mtime"], entry["mtime"]), follow_symlinks=False)


def _walk(root: Path, path: str) -> Iterator[str]:
    """Yield the path and all below it; links are not followed, other file systems not entered."""
    yield path
    top = inside(root, path, follow_last=False)
    if top.is_symlink() or not top.is_dir():
        return
    device = top.stat().st_dev
    for folder, folders, files in os.walk(top):
        base = path + folder[len(str(top)) :]
        for name in sorted(folders + files):
            yield f"{base}/{name}"
        folders[:] = sorted(
            name
            for name in folders
            if not os.path.islink(f"{folder}/{name}") and os.lstat(f"{folder}/{name}").st_dev == device
        )


def _entry(root: Path, path: str) -> dict[str, Any] | None:
    file = inside(root, path, follow_last=False)
    status = file.lstat()
    entry: dict[str, Any] = {
        "path": path,
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "owner": _name(root, "/etc/passwd", status.st_uid),
        "group": _name(root, "/etc/group", status.st_gid),
        "mtime": int(status.st_mtime),
    }
    if stat.S_ISLNK(status.st_mode):
        return {**entry, "type": "link", "target": os.readlink(file)}
    if stat.S_ISDIR(status.st_mode):
        return {**entry, "type": "folder", "xattrs": _xattrs(file)}
    if not stat.S_ISREG(status.st_mode):
        return None
    content = base64.b64encode(file.read_bytes()).decode("ascii")
    return {**entry, "type": "file", "content_b64": content, "xattrs": _xattrs(file)}


def _xattrs(file: Path) -> dict[str, str]:
    """Return extended attributes, ACLs among them; SELinux labels are the new system's own affair."""
    try:
        attributes = os.listxattr(file, follow_symlinks=False)
    except OSError:
        return {}
    return {
        name: base64.b64encode(os.getxattr(file, name, follow_symlinks=False)).decode("ascii")
        for name in attributes
        if name != "security.selinux"
    }


def _ids(root: Path, path: str) -> dict[str, int]:
    rows = (line.split(":") for line in read_text(root, path).splitlines())
    return {fields[0]: int(fields[2]) for fields in rows if len(fields) > 2 and fields[2].isdigit()}


def _name(root: Path, path: str, number: int) -> str:
    return next((name for name, found in _ids(root, path).items() if found == number), "")
