# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""sshd's settings: what counts, and where it comes from."""

from __future__ import annotations

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import secure_shell

from tests.support.fake_runner import FakeRunner


def read(tmp_path, text):
    folder = tmp_path / "etc/ssh/sshd_config.d"
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "etc/ssh/sshd_config").write_text(text)
    return secure_shell.read(tmp_path, FakeRunner())


def test_defaults(tmp_path):
    found = read(tmp_path, "")
    assert found["root_login"] == "prohibit-password"
    assert found["password_authentication"] == "yes"
    assert found["ports"] == [22]
    assert found["host_keys"] == []
    assert found["not_carried"] == []


def test_settings_that_logins_depend_on_are_named(tmp_path):
    found = read(tmp_path, "TrustedUserCAKeys /etc/ssh/ca.pub\nAuthenticationMethods any\n")
    assert found["not_carried"] == ["TrustedUserCAKeys"]


def test_first_value_counts_and_includes_come_where_they_stand(tmp_path):
    (tmp_path / "etc/ssh/sshd_config.d").mkdir(parents=True)
    (tmp_path / "etc/ssh/sshd_config.d/10.conf").write_text("PasswordAuthentication no\nPort 2200\n")
    (tmp_path / "etc/ssh/sshd_config.d/10.txt").write_text("Port 1\n")
    found = read(
        tmp_path,
        "Include sshd_config.d/*.conf\nPasswordAuthentication yes\npermitrootlogin=without-password\n"
        'AllowUsers "a" b\nListenAddress 0.0.0.0\nListenAddress 192.0.2.1:2200\n'
        "Match User x\n  PermitRootLogin yes\n",
    )
    assert found["password_authentication"] == "no"
    assert found["root_login"] == "prohibit-password"
    assert found["ports"] == [2200]
    assert found["listen"] == ["192.0.2.1:2200"]
    assert found["has_match_blocks"]


@pytest.mark.parametrize(
    ("entry", "everywhere"),
    [
        ("0.0.0.0", True),
        ("::", True),
        ("[::]:22", True),
        ("0.0.0.0:22", True),
        ("192.0.2.1:22", False),
        ("2001:db8::1", False),
        ("[2001:db8::1]:22", False),
    ],
)
def test_listening_everywhere_is_the_default(tmp_path, entry, everywhere):
    assert read(tmp_path, f"ListenAddress {entry}\n")["listen"] == ([] if everywhere else [entry])


def test_dsa_keys_are_not_named():
    keys = [{"path": f"/etc/ssh/ssh_host_{kind}_key{suffix}"} for kind in ("dsa", "rsa") for suffix in ("", ".pub")]
    assert secure_shell.private_keys({"host_keys": keys}) == ["/etc/ssh/ssh_host_rsa_key"]
