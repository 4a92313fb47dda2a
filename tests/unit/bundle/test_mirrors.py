# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import mirrors

STANZAS = """\
# the company's mirror
Types: deb deb-src
# a comment between fields
URIs: http://mirror.example/pub/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://old.example/debian
Suites: bullseye
Enabled: no
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_the_machine_s_own_mirror_serves_every_suite(apt: Path) -> None:
    (apt / "sources.list.d/debian.sources").write_text(STANZAS)
    (apt / "sources.list.d/other.list").write_text("deb [arch=amd64] https://packages.example/apt tool main\n")
    assert mirrors.find(apt) == ("http://mirror.example/pub/debian", "http://mirror.example/debian-security")


def test_the_old_form_of_one_line_each_is_read_too(apt: Path) -> None:
    (apt / "sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb-src http://source.example/debian bookworm main\n"
        "deb [signed-by=/x y=z] https://ftp.example/debian bookworm main contrib\n"
        "deb https://ftp.example/debian-security bookworm-security main\n"
    )
    assert mirrors.find(apt) == ("https://ftp.example/debian", "https://ftp.example/debian-security")


def test_without_one_it_is_debian_s_own(apt: Path) -> None:
    (apt / "sources.list").write_text("deb file:/srv/debian bookworm main\ndeb http://x.example/ubuntu noble main\n")
    assert mirrors.find(apt) == (mirrors.DEFAULT, mirrors.DEFAULT_SECURITY)


def test_what_is_given_comes_before_the_machine_s_own(apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (apt / "sources.list").write_text("deb https://me:hunter2@ftp.example/debian bookworm main\n")
    monkeypatch.setattr(mirrors, "CONFIGURATION", apt)
    # With their logins: by these the modules know what must not be shown.
    assert mirrors.addresses("", "http://a/s") == ("https://me:hunter2@ftp.example/debian", "http://a/s")
    assert mirrors.addresses("http://a/debian", "") == ("http://a/debian", mirrors.DEFAULT_SECURITY)
    assert mirrors.choose("", "http://a/s", "sid") == ["deb https://me:hunter2@ftp.example/debian sid main"]


def test_lines_have_updates_and_security_except_for_sid() -> None:
    assert mirrors.lines("http://a/debian", "http://a/debian-security", "trixie", "main x") == [
        "deb http://a/debian trixie main x",
        "deb http://a/debian trixie-updates main x",
        "deb http://a/debian-security trixie-security main x",
    ]
    assert mirrors.lines("http://a/debian", "", "sid") == ["deb http://a/debian sid main"]
