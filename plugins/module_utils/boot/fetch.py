# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring files of a bundle to where the host needs them, by digest, from a folder or an http(s) address."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .. import web
from ..address import BadAddress, address_of, is_address, shown, without_login
from ..archive.durable import sync_directory
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..runner import CommandFailed, Runner

_CHUNK = 1 << 20
#: curl(1), exit codes: the server cannot go on in the middle of a file.
_NO_RANGES = 33
#: A server that stops sending ends a download after a minute, which the next attempt continues (curl(1)).
_PATIENCE = ("--connect-timeout", "30", "--speed-limit", "1", "--speed-time", "60")
#: Seconds without a byte until a download by Python ends.
_TIMEOUT = 60
#: A file system that is filled to its last block stops the host's own work: logs, mail, databases. What stays free
#: is this share of it, but no more than the one and no less than the other.
SPARE_SHARE = 0.05
MOST_SPARE_BYTES = 256 << 20
LEAST_SPARE_BYTES = 32 << 20


@dataclass(frozen=True)
class Artefact:
    """A file of the bundle: its name there, where it is to be, and what it must be."""

    file: str
    target: Path
    sha256: str
    size: int


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                return digest.hexdigest()
            digest.update(chunk)


def spare_bytes(size: int) -> int:
    """Return what staging leaves free of a file system of ``size`` bytes."""
    return max(LEAST_SPARE_BYTES, min(int(size * SPARE_SHARE), MOST_SPARE_BYTES))


def check_space(directory: Path, needed: int) -> None:
    """Raise ``Fault`` ``boot.no_space`` unless ``needed`` bytes fit and some are left."""
    existing = directory
    while not existing.is_dir():
        existing = existing.parent
    space = os.statvfs(existing)
    free = space.f_bavail * space.f_frsize
    missing = needed + spare_bytes(space.f_blocks * space.f_frsize) - free
    if needed and missing > 0:
        raise Fault(kinds.NO_SPACE, directory=directory, needed=missing, free=free)


def fetch(runner: Runner, artefact: Artefact, source: str) -> None:
    """Bring one file to its target, under another name until its digest is right.

    ``source`` is a folder or an http(s) address. Raises ``Fault`` ``boot.source_missing`` or
    ``boot.source_damaged``.
    """
    partial = artefact.target.with_name(artefact.target.name + ".part")
    if is_address(source):
        _download(runner, artefact, source, partial)
    else:
        _copy(artefact, Path(source), partial)
    _check_digest(partial, artefact, source)
    _publish(partial, artefact.target)


def link_or_copy(source: Path, artefact: Artefact) -> None:
    """Give a staged file a second place: by a link in the same file system, else by a checked copy."""
    target = artefact.target
    temporary = target.with_name(target.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    try:
        os.link(source, temporary)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, temporary)
        temporary.chmod(0o600)
        _check_digest(temporary, artefact, str(source.parent))
    _publish(temporary, target)


def shred(path: Path) -> bool:
    """Overwrite and remove a secret; return whether there was one."""
    if not path.is_file():
        return False
    with path.open("r+b") as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, _CHUNK)))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    return True


def _check_digest(path: Path, artefact: Artefact, source: str) -> None:
    found = file_digest(path)
    if found == artefact.sha256:
        return
    path.unlink()
    raise Fault(kinds.SOURCE_DAMAGED, file=artefact.file, source=shown(source), found=found, wanted=artefact.sha256)


def _publish(temporary: Path, target: Path) -> None:
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    # rename(2) does nothing where both names are links to one file, and leaves the first one behind.
    temporary.replace(target)
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    sync_directory(target.parent)


def _copy(artefact: Artefact, folder: Path, partial: Path) -> None:
    candidates = (folder / artefact.file, folder / Path(artefact.file).name)
    for path in candidates:
        if path.is_file() and path != artefact.target:
            shutil.copyfile(path, partial)
            partial.chmod(0o600)
            return
    problem = "there is no such file"
    if artefact.target in candidates and artefact.target.is_file():
        # It is where it should be, and it is not what it should be.
        found = file_digest(artefact.target)
        raise Fault(kinds.SOURCE_DAMAGED, file=artefact.file, source=folder, found=found, wanted=artefact.sha256)
    raise Fault(kinds.SOURCE_MISSING, file=artefact.file, source=folder, problem=problem)


def _download(runner: Runner, artefact: Artefact, source: str, partial: Path) -> None:
    """Load a file, going on where an earlier attempt ended."""
    address = address_of(source, artefact.file)
    if partial.is_file() and partial.stat().st_size >= artefact.size:
        # Complete or too long: what follows checks the digest, and a wrong one is loaded anew.
        if file_digest(partial) == artefact.sha256:
            return
        partial.unlink()
    config = _curl_config(artefact, address, source)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o600))
    options = ["--fail", "--location", "--silent", "--show-error", "--retry", "3", *_PATIENCE, "--continue-at", "-"]
    argv = ["curl", *options, "--output", str(partial), "--config", "-"]
    try:
        done = runner.run(argv, stdin=config, accept=(0, _NO_RANGES))
        if done.returncode == _NO_RANGES:
            os.truncate(partial, 0)
            runner.run(argv, stdin=config)
    except CommandFailed as failure:
        raise Fault(
            kinds.SOURCE_MISSING,
            file=artefact.file,
            source=shown(source),
            problem=failure.result.error_text.strip() or f"curl ended with {failure.result.returncode}",
        ) from failure
    except Fault as fault:
        if fault.id != "command.missing":
            raise
        _download_by_python(artefact, address, source, partial)


def _curl_config(artefact: Artefact, address: str, source: str) -> bytes:
    """Return what curl reads from stdin: argv can be seen by everybody, and this may hold a password (curl(1), -K).

    The login goes apart from the address, as with Python: curl ends it at the first ``@`` of an address.
    """
    try:
        plain, login = without_login(address)
        lines = [b'url = "%s"\n' % _quoted(plain.encode("utf-8", "surrogateescape"))]
    except ValueError as error:
        raise Fault(kinds.SOURCE_MISSING, file=artefact.file, source=shown(source), problem=BadAddress()) from error
    if login:
        lines.append(b'user = "%s"\n' % _quoted(login))
    return b"".join(lines)


def _quoted(value: bytes) -> bytes:
    for sign, escaped in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r")):
        value = value.replace(sign, escaped)
    return value


def _download_by_python(artefact: Artefact, address: str, source: str, partial: Path) -> None:
    """For hosts without curl."""
    start = partial.stat().st_size
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        with web.ask(address, headers, timeout=_TIMEOUT) as answer, partial.open("r+b") as file:
            # 206: the server goes on; anything else: it starts from the beginning.
            file.seek(start if answer.status == 206 else 0)
            file.truncate()
            shutil.copyfileobj(answer, file, _CHUNK)
    except (OSError, BadAddress) as error:
        raise Fault(kinds.SOURCE_MISSING, file=artefact.file, source=shown(source), problem=error) from error
