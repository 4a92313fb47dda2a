# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a bundle lies: a folder on the controller, or a folder behind an http(s) address."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse
from pathlib import Path
from typing import Protocol

from ..address import is_address, shown
from ..faults import bundle as kinds
from ..faults.fault import Fault

TIMEOUT = 30
#: Manifests, signatures and layouts are small; a server that sends more has something else there.
MAX_DOCUMENT = 4 << 20


class Source(Protocol):
    """How the files of a bundle are reached; every name is a path inside the bundle."""

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, ``None`` for an address."""

    @property
    def url(self) -> str:
        """The address without a slash at its end, empty for a folder."""

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

    def read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Fault(kinds.UNREACHABLE, bundle=self._folder, file=name, reason=str(error.strerror)) from error

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

    def read(self, name: str) -> bytes | None:
        try:
            with self._open(name) as answer:
                data = answer.read(MAX_DOCUMENT + 1)
        except _NotThere:
            return None
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
            raise Fault(kinds.FILE_MISSING, bundle=shown(self.url), file=name) from error
        except OSError as error:
            raise self._unreachable(name, str(error)) from error
        draft.replace(target)
        return target

    def _open(self, name: str, method: str = "GET") -> HTTPResponse:
        request = urllib.request.Request(f"{self.url}/{urllib.parse.quote(name)}", method=method)
        try:
            answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
            return answer
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                raise _NotThere from error
            raise self._unreachable(name, f"the server answers {error.code} {error.reason}") from error
        except OSError as error:
            raise self._unreachable(name, str(getattr(error, "reason", error))) from error

    def _unreachable(self, name: str, reason: str) -> Fault:
        return Fault(kinds.UNREACHABLE, bundle=shown(self.url), file=name, reason=reason[:1].upper() + reason[1:])


class _NotThere(Exception):
    """The server has no such file."""


def open_source(bundle: str) -> Source:
    """Return the source that ``bundle`` names: an http(s) address, anything else is a folder."""
    if is_address(bundle):
        return UrlSource(bundle)
    return FolderSource(Path(bundle))
