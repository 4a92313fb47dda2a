# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The canaries of a lab are secrets, and only secrets."""

from __future__ import annotations

from pathlib import Path

from tests.lab.credentials import Credentials

PUBLIC = "AAAAE2VjZHNhpublicpublicpublicpublicpublicpublicpublicpublicpublicpubl"
PRIVATE = f"""-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDsecretsecretsecretsecretsecretsecretsecretsecretsecretsecr
{PUBLIC}
short
-----END OPENSSH PRIVATE KEY-----
"""
LOGIN = Credentials(
    "admin", "pass-word", "$6$salt$hash", "key", "ssh-ed25519 AAAA", (PRIVATE,), (f"ssh-rsa {PUBLIC}Q==",)
)


def test_canaries_are_password_hash_and_the_body_of_the_keys() -> None:
    body = "QyNTUxOQAAACDsecretsecretsecretsecretsecretsecretsecretsecretsecretsecr"
    assert LOGIN.canaries() == ("pass-word", "$6$salt$hash", body)


def test_credentials_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    LOGIN.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Credentials.load(path) == LOGIN
