# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a bundle lies: a folder on the controller, or a folder behind an http(s) address."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from .. import web
from ..address import BadAddress, address_of, is_address, shown
from ..faults import bundle as kinds
from ..faults.fault import Fault

TIMEOUT = 30
#: Manifests, signatures and layouts are small; a server that sends more has something else there.
MAX_DOCUMENT = 4 << 20


class Source(Protocol):
    """How the files of a bundle are reached; every name is a path inside the bundle.

    Its text names it to a person.
    """

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, ``None`` for an address."""

    @property
    def url(self) -> str:
        """The address without a slash at its end and with the login that it may hold, empty for a folder."""

    def read(self, name: str) -> bytes | None:
        """Return a small file, ``None`` where it does not exist; raises ``bundle.unreachable``."""

    def size(self, name: str) -> int | None:
        """Return a file's size in bytes, ``None`` where it does not exist."""

    def fetch(self, name: str, cache: Path) -> Path:
        """Return the file on this machine, below ``cache`` where it had to be brought."""


class FolderSource:
    """A bundle in a folder of this machine."""

    url = ""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise Fault(kinds.UNREACHABLE, bundle=folder, file="manifest.json", reason="There is no such folder")
        self.folder: Path | None = folder
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Fault(kinds.UNREACHABLE, bundle=self, file=name, reason=str(error.strerror)) from error

    def size(self, name: str) -> int | None:
        path = self._folder / name
        return path.stat().st_size if path.is_file() else None

    def fetch(self, name: str, cache: Path) -> Path:
        return self._folder / name


class UrlSource:
    """A bundle behind an address; the hosts pull its large files from there by themselves."""

    folder: Path | None = None

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def __str__(self) -> str:
        return shown(self.url)

    def read(self, name: str) -> bytes | None:
        try:
            with self._open(name) as answer:
                data = answer.read(MAX_DOCUMENT + 1)
        except _NotThere:
            return None
        except OSError as error:
            raise self._unreachable(name, str(error)) from error
        if len(data) > MAX_DOCUMENT:
            raise self._unreachable(name, f"the answer has more than {MAX_DOCUMENT} bytes")
        return data

    def size(self, name: str) -> int | None:
        try:
            with self._open(name, "HEAD") as answer:
                length = answer.headers.get("Content-Length")
        except _NotThere:
            return None
        if length is None or not length.isdigit():
            raise self._unreachable(name, "the server does not tell the size (Content-Length)")
        return int(length)

    def fetch(self, name: str, cache: Path) -> Path:
        target = cache / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(target.name + ".part")
        try:
            with self._open(name) as answer, draft.open("wb") as file:
                shutil.copyfileobj(answer, file, 1 << 20)
        except _NotThere as error:
            raise Fault(kinds.FILE_MISSING, bundle=self, file=name) from error
        except OSError as error:
            raise self._unreachable(name, str(error)) from error
        draft.replace(target)
        return target

    def _open(self, name: str, method: str = "GET") -> web.Answer:
        try:
            return web.ask(address_of(self.url, name), timeout=TIMEOUT, method=method)
        except web.Refused as error:
            if error.status in (404, 410):
                raise _NotThere from error
            raise self._unreachable(name, str(error)) from error
        except (OSError, BadAddress) as error:
            raise self._unreachable(name, str(error)) from error

    def _unreachable(self, name: str, reason: str) -> Fault:
        return Fault(kinds.UNREACHABLE, bundle=self, file=name, reason=reason[:1].upper() + reason[1:])


class _NotThere(Exception):
    """The server has no such file."""


def open_source(bundle: str) -> Source:
    """Return the source that ``bundle`` names: an http(s) address, or a folder.

    Raises ``bundle.unreachable`` for an address of another scheme: as the name of a folder it would be shown whole.
    """
    if is_address(bundle):
        return UrlSource(bundle)
    if "://" in bundle:
        reason = "Only addresses with http:// and https:// are known"
        raise Fault(kinds.UNREACHABLE, bundle=shown(bundle), file="manifest.json", reason=reason)
    return FolderSource(Path(bundle))
