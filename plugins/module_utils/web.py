# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask for an http(s) address by Python alone: its login in a header, and every failure one of three.

No text of any of them quotes a login. ``urllib.request`` and ``http.client`` are loaded late: a minimal Python may
lack them, and a host that has curl, or the files already, does without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .address import BadAddress, authorization, without_login

if TYPE_CHECKING:
    from http.client import HTTPResponse


class Refused(OSError):
    """The server answers, and not with what was asked for; ``status`` is that of HTTP (RFC 9110, 15)."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"the server answers {status} {reason}")
        self.status = status


class Answer:
    """The answer of a server, whose every way to break is an ``OSError``; it is closed at the end of a ``with``."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Any = response.headers

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def read(self, size: int | None = None) -> bytes:
        """Return the next bytes, at most ``size`` or all that are left; none at the end."""
        with _breaking():
            return self._response.read(size)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a part of the buffer and return how many bytes that are, 0 at the end."""
        with _breaking():
            return self._response.readinto(buffer)

    def close(self) -> None:
        self._response.close()


@contextlib.contextmanager
def _breaking() -> Iterator[None]:
    from http.client import HTTPException

    try:
        yield
    except (HTTPException, ValueError) as error:
        raise OSError(f"the connection broke ({type(error).__name__})") from error


def ask(address: str, headers: Mapping[str, str] | None = None, *, timeout: float, method: str = "GET") -> Answer:
    """Ask for an address and return the answer, wherever the server sends us for it.

    ``timeout`` is in seconds without a byte. Raises ``BadAddress``, ``Refused`` for an answer that is no success,
    and any other ``OSError`` where there is none.
    """
    from http.client import HTTPException, InvalidURL
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    plain, login = without_login(address)
    try:
        request = Request(plain, headers=dict(headers or {}), method=method)
        if login:
            # Unredirected: a server that sends us elsewhere must not hand the password on.
            request.add_unredirected_header("Authorization", authorization(login))
        return Answer(urlopen(request, timeout=timeout))
    except HTTPError as error:
        with error:
            raise Refused(error.code, error.reason) from error
    except URLError as error:
        raise OSError(str(error.reason)) from error
    except OSError:
        # Some are of HTTPException too, and say more than its name.
        raise
    except (InvalidURL, ValueError):
        # Of the address, or of the one where the server sends us; their texts quote it.
        raise BadAddress from None
    except HTTPException as error:
        raise OSError(f"not an answer of HTTP ({type(error).__name__})") from error
