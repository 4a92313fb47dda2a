# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths that are carried from the running slot into the new one: ``dualroot_carry_paths``.

Copied from disk to disk, so of any size; ``dualroot_capture_paths`` travel in memory beside the capture instead.
Owners are kept by name: an account may have another id in the new system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..capture.extra_paths import normalised
from ..faults import update as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ..plan.finding import Finding, from_record
from ..runner import CommandFailed, Runner


@dataclass(frozen=True)
class Carried:
    """Paths to copy, how many bytes they have, and what was noticed about the list."""

    paths: tuple[str, ...]
    bytes: int
    findings: tuple[Finding, ...] = ()


def look(paths: Sequence[str], layout: ResolvedLayout | None, root: Path = Path("/")) -> Carried:
    """Return what of a list is to be copied; what is wrong with it is in the findings."""
    shared = _shared(layout)
    chosen: list[str] = []
    findings: list[Finding] = []
    size = 0
    for wanted in paths:
        try:
            path = _checked(wanted, root)
            where = next((one for one in shared if path == one or path.startswith(f"{one}/")), "")
            if where:
                findings.append(_finding(Fault(kinds.PATH_SHARED, path=path, mount=where), "info"))
            elif path not in chosen:
                chosen.append(path)
                size += _size(root / path.lstrip("/"))
        except Fault as fault:
            findings.append(_finding(fault, "refuse"))
    return Carried(tuple(chosen), size, tuple(findings))


def copy(runner: Runner, paths: Sequence[str], new: Path, root: Path = Path("/")) -> None:
    """Copy paths into a new root, in place of what it has there; raises ``update.carry_failed``."""
    users, groups = _changed_ids(root, new, "etc/passwd"), _changed_ids(root, new, "etc/group")
    for path in paths:
        source, target = root / path.lstrip("/"), new / path.lstrip("/")
        if not _leads_inside(target.parent, new):
            problem = f"{target.parent} leads out of the new slot"
            raise Fault(kinds.CARRY_FAILED, path=path, problem=problem)
        _parents(source.parent, target.parent, new)
        # Into a folder of that name cp would copy below it; of a file of that name nothing is left (cp(1)).
        is_folder = source.is_dir() and not source.is_symlink()
        argv = ["cp", "--archive", "--one-file-system", "--force", "--no-target-directory", str(source), str(target)]
        try:
            if target.is_symlink() or (target.is_dir() != is_folder and target.exists()):
                runner.run(["rm", "--recursive", "--force", "--one-file-system", str(target)])
            runner.run(argv)
        except CommandFailed as failure:
            problem = failure.result.error_text.strip()[-300:] or f"status {failure.result.returncode}"
            raise Fault(kinds.CARRY_FAILED, path=path, problem=problem) from failure
        _change_owners(target, users, groups)


def _checked(wanted: str, root: Path) -> str:
    try:
        path = normalised(wanted)
    except Fault as fault:
        raise Fault(kinds.PATH_REFUSED, path=wanted) from fault
    if not os.path.lexists(root / path.lstrip("/")):
        raise Fault(kinds.PATH_MISSING, path=wanted)
    return path


def _finding(fault: Fault, severity: str) -> Finding:
    return from_record(fault.record(), severity)


def _shared(layout: ResolvedLayout | None) -> list[str]:
    """Return the mount points that both slots share."""
    if layout is None:
        return []
    roots = {slot.root for slot in layout.slots.values()}
    return [one.mount for one in layout.file_systems if one.on not in roots and len(one.mount) > 1]


def _size(path: Path) -> int:
    """Return what a path takes on its file system, in bytes."""
    return sum(status.st_blocks * 512 for status in _statuses(path))


def _statuses(path: Path) -> Iterator[os.stat_result]:
    status = os.lstat(path)
    yield status
    if path.is_symlink() or not path.is_dir():
        return
    for folder, folders, files in os.walk(path):
        for name in folders + files:
            try:
                found = os.lstat(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            if found.st_dev == status.st_dev:
                yield found
        folders[:] = [name for name in folders if not os.path.ismount(os.path.join(folder, name))]


def _leads_inside(folder: Path, new: Path) -> bool:
    """Tell whether a folder of the new root is one: a link of the payload may lead into the running system."""
    return Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(new))


def _parents(source: Path, target: Path, new: Path) -> None:
    """Make missing folders on the way with mode and owner that they have in the running system."""
    if target == new or target.is_dir():
        return
    _parents(source.parent, target.parent, new)
    status = source.stat()
    target.mkdir()
    os.chown(target, status.st_uid, status.st_gid)
    target.chmod(status.st_mode & 0o7777)


def _changed_ids(root: Path, new: Path, path: str) -> dict[int, int]:
    """Return the ids that an account or group of the running system has in the new one, where they differ."""
    before, after = _ids(root / path), _ids(new / path)
    return {number: after[name] for name, number in before.items() if name in after and after[name] != number}


def _ids(path: Path) -> Mapping[str, int]:
    try:
        rows = [line.split(":") for line in path.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return {}
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}


def _change_owners(target: Path, users: Mapping[int, int], groups: Mapping[int, int]) -> None:
    if not users and not groups:
        return
    found = [target]
    if target.is_dir() and not target.is_symlink():
        found += [Path(folder) / name for folder, folders, files in os.walk(target) for name in folders + files]
    for path in found:
        status = os.lstat(path)
        uid, gid = users.get(status.st_uid, status.st_uid), groups.get(status.st_gid, status.st_gid)
        if (uid, gid) != (status.st_uid, status.st_gid):
            os.chown(path, uid, gid, follow_symlinks=False)
            if not path.is_symlink():
                # The kernel takes set-id bits away with a change of owner (chown(2)).
                path.chmod(status.st_mode & 0o7777)
