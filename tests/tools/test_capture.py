# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The capture beside real tools: iproute2, ssh-keygen, sshd, visudo, the shell."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import secure_shell
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.readers import kernel
from ansible_collections.dualroot.migrate.plugins.module_utils.capture.redact import fingerprints
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner, Result

REPOSITORY = Path(__file__).parents[2]
SCRIPT = REPOSITORY / "roles/bundle/files/environment/usr/lib/dualroot/udhcpc.script"


def needs(*programs):
    path = CommandRunner.SEARCH_PATH
    missing = [program for program in programs if not shutil.which(program, path=path)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class OldIp:
    """Runs real commands, but its ``ip`` does not know ``-j``, like that of CentOS 7."""

    def __init__(self):
        self.real = CommandRunner()

    def run(self, argv, **options):
        if argv[:2] == ("ip", "-j"):
            return Result(tuple(argv), 255, b"", b'Option "-j" is unknown, try "ip -help".\n')
        return self.real.run(argv, **options)


@needs("ip")
def test_text_and_json_of_ip_say_the_same():
    by_json = kernel.read(Path("/"), CommandRunner())
    by_text = kernel.read(Path("/"), OldIp())
    assert by_text == by_json


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "x", "-f", str(path)], check=True)
    return path


@needs("ssh-keygen")
def test_fingerprints_are_those_of_ssh_keygen(key):
    public = key.with_suffix(".pub")
    shown = subprocess.run(["ssh-keygen", "-lf", str(public)], check=True, capture_output=True, text=True)
    assert fingerprints(public.read_text()) == [shown.stdout.split()[1]]


@needs("ssh-keygen", "sshd")
def test_sshd_understands_what_is_written(key, tmp_path):
    ssh = {
        "root_login": "prohibit-password",
        "password_authentication": "no",
        "public_key_authentication": "yes",
        "ports": [22, 2222],
        "listen": ["192.0.2.1:22"],
        "allow_users": ["admin", "deploy"],
        "deny_groups": ["guests"],
        "authorized_keys_files": ["/etc/ssh/keys/%u"],
        "host_keys": [{"path": str(key), "content_b64": base64.b64encode(key.read_bytes()).decode()}],
    }
    config = tmp_path / "sshd_config"
    config.write_text(secure_shell.settings_text(ssh, host_key_paths=secure_shell.private_keys(ssh)))
    sshd = shutil.which("sshd", path=CommandRunner.SEARCH_PATH)
    shown = subprocess.run([sshd, "-T", "-f", str(config)], capture_output=True, text=True, check=False)
    if "privilege separation directory" in shown.stderr:
        pytest.skip("sshd needs /run/sshd")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    for line in (
        f"hostkey {key}",
        "port 2222",
        "passwordauthentication no",
        "allowusers deploy",
        "denygroups guests",
        "authorizedkeysfile /etc/ssh/keys/%u",
    ):
        assert line in lines


@needs("sh")
def test_dhcp_script_is_a_shell_script():
    subprocess.run(["sh", "-n", str(SCRIPT)], check=True)
    assert SCRIPT.stat().st_mode & 0o111, "udhcpc runs it directly"
