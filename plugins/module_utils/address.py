# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of bundles, as they may be shown: an address can hold a user and a password."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def is_address(source: str) -> bool:
    """Tell an http(s) address from the path of a folder."""
    return source.startswith(("http://", "https://"))


def shown(source: str) -> str:
    """Return a source without the user, the password and the query that its address may hold."""
    if not is_address(source):
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
