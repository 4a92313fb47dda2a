# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an address holds of a login is taken out of it, and never shown."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils import address
from ansible_collections.dualroot.migrate.plugins.module_utils.address import is_address, shown, without_login

from tests.support.guarded_server import SECRETS, UNUSABLE


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/srv/bundle@home", "/srv/bundle@home"),
        ("http://bundles.example/gateway", "http://bundles.example/gateway"),
        ("https://me:hunter2@bundles.example:8443/gateway?token=hunter2", "https://bundles.example:8443/gateway"),
        ("HTTPS://me:hunter2@bundles.example/", "https://bundles.example/"),
        ("https://me:hun@ter2@bundles.example/", "https://bundles.example/"),
        # A bare slash, question mark or number sign ends the server too early (RFC 3986, 3.2).
        ("https://me:hun/ter2@bundles.example/gateway?a=b", "https://(hidden)@bundles.example/gateway"),
        ("https://me:h@un/ter2@bundles.example/gateway", "https://(hidden)@bundles.example/gateway"),
        ("https://me:hunter2?@bundles.example/gateway", "https://(hidden)@bundles.example/gateway"),
        ("https://me:hunter2#@bundles.example", "https://(hidden)@bundles.example"),
    ],
)
def test_shown(source: str, expected: str) -> None:
    assert shown(source) == expected
    assert is_address(source) == source.lower().startswith("http")


@pytest.mark.parametrize("source", [*UNUSABLE, "ftp://me:hunter2@bundles.example/", " http://me:hunter2@h/"])
def test_whatever_an_address_is_like_its_login_is_not_shown(source: str) -> None:
    assert not [one for one in SECRETS if one in shown(source)]
    struck = source
    for one in address.secrets_of(source):
        struck = struck.replace(one, "")
    assert not [one for one in SECRETS if one in struck]


@pytest.mark.parametrize(
    ("source", "plain", "login", "header"),
    [
        ("http://example.com/b", "http://example.com/b", b"", ""),
        ("http://@[::1]:80/b", "http://[::1]:80/b", b"", ""),
        (
            "https://me:p%40ss@example.com:8443/b?x=1#y",
            "https://example.com:8443/b?x=1",
            b"me:p@ss",
            "Basic bWU6cEBzcw==",
        ),
        ("https://me:p@ss@example.com", "https://example.com", b"me:p@ss", "Basic bWU6cEBzcw=="),
        # The bytes that were encoded, whatever the coding of their text.
        ("http://me:%e9@example.com/", "http://example.com/", b"me:\xe9", "Basic bWU66Q=="),
        ("http://me:\u00e9@example.com/", "http://example.com/", b"me:\xc3\xa9", "Basic bWU6w6k="),
        ("http://token@example.com/", "http://example.com/", b"token:", "Basic dG9rZW46"),
    ],
)
def test_the_login_is_taken_out(source: str, plain: str, login: bytes, header: str) -> None:
    assert without_login(source) == (plain, login)
    assert not header or address.authorization(login) == header


@pytest.mark.parametrize(
    "source",
    [
        "/srv/bundle",
        "ftp://me:hunter2@h/",
        "http://me:hunter2@h:port/",
        "http://me:hunter2@h:99999/",
        "http://me:hunter2@h:0/",
        "http://me:hunter2@/b",
        "http://me:hunter2@[::1/",
        "http://me:hun/ter2@h/",
        "http://me:hunter2@h\uff0f/",
        "http://me:hunter2\ud800@h/",
    ],
)
def test_an_address_that_leads_nowhere_is_not_quoted(source: str) -> None:
    with pytest.raises(address.BadAddress) as caught:
        without_login(source)
    assert not [one for one in SECRETS if one in str(caught.value)]
    assert caught.value.__cause__ is None


def test_the_address_of_a_file_keeps_login_and_query() -> None:
    assert address.address_of("https://h/b/?k=1", "payload/root fs.tar") == "https://h/b/payload/root%20fs.tar?k=1"
    assert address.address_of("http://me:p%40@h", "a") == "http://me:p%40@h/a"
    bare = address.address_of("http://me:hunter2#@h/b", "a")
    assert "hunter2" not in shown(bare)
    with pytest.raises(address.BadAddress):
        address.address_of("/srv/bundle", "a")


def test_a_short_login_is_not_struck_out_of_other_words() -> None:
    assert address.secrets_of("http://a@h/b?c=1") == ["a@", "?c=1"]
    assert address.secrets_of("http://h/b") == address.secrets_of("/srv/bundle@home") == []
