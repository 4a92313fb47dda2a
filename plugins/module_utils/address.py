# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of bundles: with the login apart, and as they may be shown.

An address can hold a user and a password (RFC 3986, 3.2.1). They are taken out here, before anything else sees the
address: ``http.client`` takes them for a part of the server's name, and both it and ``urllib.parse`` quote what they
cannot use in the text of their errors.
"""

from __future__ import annotations

import base64
import re
from urllib.parse import quote, unquote_to_bytes, urlsplit

#: Scheme, login and server, path, query; what follows is never sent (RFC 3986, appendix B).
_PARTS = re.compile(r"\s*([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(\?[^#]*)?", re.IGNORECASE)
_SCHEMES = ("http", "https")


class BadAddress(ValueError):
    """An address that leads nowhere; its text quotes nothing of it."""

    def __init__(self) -> None:
        super().__init__(
            "the address cannot be used; in a user or password in it, every sign but letters and digits has to be"
            " percent-encoded (@ is %40, / is %2F)"
        )


def is_address(source: str) -> bool:
    """Tell an http(s) address from the path of a folder."""
    found = _PARTS.match(source)
    return found is not None and found.group(1).lower() in _SCHEMES


def shown(source: str) -> str:
    """Return a source without the user, the password and the query that its address may hold."""
    found = _PARTS.match(source)
    if found is None:
        return source
    scheme, server, path = found.group(1).lower(), found.group(2), found.group(3)
    rest = source[found.end(2) :]
    if "@" in rest:
        # Perhaps a password with a bare slash, which has ended the name of the server too early.
        return f"{scheme}://(hidden)@{re.split('[?#]', rest.rpartition('@')[2])[0]}"
    return f"{scheme}://{server.rpartition('@')[2]}{path}"


def without_login(address: str) -> tuple[str, bytes]:
    """Return the address without user and password, and these as ``user:password``, empty where it has none.

    They are decoded, in the bytes that were percent-encoded. Raises ``BadAddress``.
    """
    found = _PARTS.match(address)
    if found is None or not is_address(address):
        raise BadAddress
    login, _at, server = found.group(2).rpartition("@")
    plain = f"{found.group(1).lower()}://{server}{found.group(3)}{found.group(4) or ''}"
    try:
        parts = urlsplit(plain)
        # The port is read, and refused, only when it is asked for.
        usable = bool(parts.hostname) and parts.port != 0
        decoded = unquote_to_bytes(login.encode("utf-8", "surrogateescape"))
    except ValueError:
        usable = False
    if not usable:
        raise BadAddress from None
    # The colon is there without a password, too (RFC 7617, 2).
    return plain, decoded if b":" in decoded or not decoded else decoded + b":"


def authorization(login: bytes) -> str:
    """Return the header ``Authorization`` for ``user:password`` (RFC 7617)."""
    return "Basic " + base64.b64encode(login).decode("ascii")


def address_of(bundle: str, name: str) -> str:
    """Return the address of a file of the bundle behind ``bundle``, with its login; raises ``BadAddress``."""
    found = _PARTS.match(bundle)
    if found is None:
        raise BadAddress
    # What follows stays, the part that is never sent, too: by it ``shown`` knows a password with bare signs.
    path_ends = found.end(3)
    return f"{bundle[:path_ends].rstrip('/')}/{quote(name)}{bundle[path_ends:]}"


def secrets_of(address: str) -> list[str]:
    """Return what of an address must not be shown, as it stands there, each with the sign that sets it off.

    The sign keeps a short login (``a@``) from being struck out of words that have nothing to do with it.
    """
    found = _PARTS.match(address)
    if found is None:
        return []
    rest = address[found.start(2) :]
    return [one for one in (rest[: rest.rfind("@") + 1], found.group(4) or "") if len(one) > 1]
