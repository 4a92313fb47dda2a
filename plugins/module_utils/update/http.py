# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An archive behind an http(s) address, read from its start to its end without a copy on this host.

A connection that breaks is taken up again where it ended (RFC 9110, 14.2). A server that cannot do that sends
the file from its start again, and what is there already is passed over. Nothing here proves that both parts
belong together: the digest of the whole does, and the restore checks it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote

from .. import web
from ..address import BadAddress, shown
from ..archive.packed import PackedReader
from ..faults import boot as kinds
from ..faults.fault import Fault

#: Seconds without a byte until a connection counts as broken.
TIMEOUT = 60.0
#: Seconds between attempts; the list starts anew whenever bytes arrive, and ends the reading when it is through.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0)
_RANGE = re.compile(r"bytes (\d+)-\d*/(\d+|\*)")
_DISCARD = 1 << 16


class Answer(Protocol):
    """What is used of ``http.client.HTTPResponse``."""

    status: int
    headers: Any

    def readinto(self, buffer: Any) -> int: ...

    def close(self) -> None: ...


#: Asks for an address with headers; raises ``OSError`` or ``NotUsable``.
Ask = Callable[[str, "dict[str, str]"], Answer]


class NotUsable(Exception):
    """An answer that no later attempt will better; its text says what it was."""


@dataclass(frozen=True)
class Download:
    """A file behind an address; ``size`` is what the manifest says it has, in bytes, or 0 where nobody says it.

    ``reconnects`` collects one text for each time that the connection was taken up again.
    """

    address: str = field(repr=False)
    size: int
    ask: Ask | None = None
    pauses: tuple[float, ...] = PAUSES
    sleep: Callable[[float], None] = time.sleep
    reconnects: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return shown(self.address)

    def open(self) -> PackedReader:
        return _Reader(self)


class _Reader:
    """One pass. A fault that ends it is ``boot.source_missing``."""

    def __init__(self, source: Download) -> None:
        self.size = source.size
        self._source = source
        self._ask = source.ask or ask_by_python
        self._at = 0
        self._tag = ""
        self._answer: Answer | None = None
        self._failures = 0
        self._connect_patiently()

    def readinto(self, buffer: memoryview) -> int:
        while self._at < self.size:
            try:
                if self._answer is None:
                    self._connect()
                count = self._answer.readinto(buffer[: self.size - self._at]) if self._answer else 0
                if count:
                    self._at += count
                    self._failures = 0
                    return count
                problem = "the connection ended early"
            except NotUsable as error:
                raise self._fault(str(error)) from error
            except OSError as error:
                problem = str(error) or type(error).__name__
            self._lost(problem)
        return 0

    def close(self) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()

    def _connect_patiently(self) -> None:
        while self._answer is None:
            try:
                self._connect()
            except NotUsable as error:
                raise self._fault(str(error)) from error
            except OSError as error:
                self._lost(str(error) or type(error).__name__)

    def _lost(self, problem: str) -> None:
        """Wait before the next attempt, or give up."""
        self.close()
        if self._failures >= len(self._source.pauses):
            raise self._fault(problem)
        pause = self._source.pauses[self._failures]
        self._failures += 1
        self._source.reconnects.append(f"at byte {self._at}: {problem}")
        self._source.sleep(pause)

    def _fault(self, problem: str) -> Fault:
        source = shown(self._source.address)
        return Fault(kinds.SOURCE_MISSING, file=unquote(source.rsplit("/", 1)[-1]), source=source, problem=problem)

    def _connect(self) -> None:
        headers = {"Accept-Encoding": "identity"}
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
            if self._tag:
                # Sends the whole file where it has changed meanwhile; weak tags are of no use here (RFC 9110, 13.1.5).
                headers["If-Range"] = self._tag
        answer = self._ask(self._source.address, headers)
        try:
            self._accept(answer)
        except BaseException:
            answer.close()
            raise
        self._answer = answer

    def _accept(self, answer: Answer) -> None:
        """Check that the answer is of this file, and bring it to where the reading goes on."""
        tag = str(answer.headers.get("ETag") or "")
        if answer.status == 206:
            place = _RANGE.match(str(answer.headers.get("Content-Range") or ""))
            if place is None or int(place.group(1)) != self._at:
                raise NotUsable(f"it answers with another part than asked for, from byte {self._at} on")
            total = place.group(2)
        else:
            total = str(answer.headers.get("Content-Length") or "*")
        if not self.size:
            if not total.isdigit():
                raise NotUsable("the server does not tell its size (Content-Length)")
            self.size = int(total)
        if total.isdigit() and int(total) != self.size:
            raise NotUsable(f"it has {total} bytes there instead of {self.size}")
        if self._tag and tag and tag != self._tag:
            raise NotUsable("the file there has changed since the download began")
        self._tag = "" if tag.startswith("W/") else tag
        if answer.status != 206:
            self._pass_over(answer)

    def _pass_over(self, answer: Answer) -> None:
        scratch = memoryview(bytearray(_DISCARD))
        left = self._at
        while left:
            count = answer.readinto(scratch[: min(left, _DISCARD)])
            if not count:
                raise OSError("the connection ended early")
            left -= count


def ask_by_python(address: str, headers: dict[str, str]) -> Answer:
    """Ask with Python's own means; what a later attempt may better is an ``OSError``."""
    try:
        return web.ask(address, headers, timeout=TIMEOUT)
    except web.Refused as error:
        if error.status in (408, 429) or error.status >= 500:
            raise
        raise NotUsable(str(error)) from error
    except BadAddress as error:
        raise NotUsable(str(error)) from error
