# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host that only pretends: a real SSH server in a changed root, whose markers say which system it runs.

What a controller does with a host that is in stage two, converted or in its recovery system is so tried in
seconds, with real playbooks over real SSH. Nothing of it boots or has a disk; that is what the machines are for.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.bundles import Bundle
from tests.lab.playbook import Outcome, run_playbook

NAME = "rack/7"
_DEVICES = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}
_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
UsePAM no
StrictModes no
PidFile /run/sshd.pid
"""


class Pretended:
    """The host; ``folder`` takes its root, made from the payload of a bundle. Needs root."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self.folder, self.bundle = folder, bundle
        self.root, self.reports = folder / "root", folder / "reports"
        self.root.mkdir(parents=True)
        manifest = json.loads((bundle.folder / "manifest.json").read_bytes())
        payload = bundle.folder / manifest["payload"]["file"]
        left_out = [f"--exclude=./{name}" for name in ("usr/lib/modules", "usr/share", "boot", "dev", "proc", "sys")]
        _run("tar", "--zstd", "-xf", str(payload), "-C", str(self.root), *left_out)
        for name in ("dev", "proc/sys/kernel/random", "run/sshd", "run/dualroot", "etc/dualroot", "root/.ssh", "tmp"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name, number in _DEVICES.items():
            os.mknod(self.root / "dev" / name, 0o020666, os.makedev(*number))
            (self.root / "dev" / name).chmod(0o666)
        self._server = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for old in (self.root / "etc/ssh").glob("ssh_host_*"):
            old.unlink()
        host_key = self.root / "etc/ssh/ssh_host_ed25519_key"
        make_key(host_key)
        make_key(self.folder / "login")
        shutil.copy(self.folder / "login.pub", self.root / "root/.ssh/authorized_keys")
        (self.root / "etc/ssh/sshd_config").write_text(_SSHD.format(port=self.port))
        self.known_hosts = self.folder / "known_hosts"
        self.know(host_key.with_suffix(".pub"))
        options = f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={self.known_hosts} -o IdentitiesOnly=yes"
        host = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.folder / "login"),
            "ansible_ssh_common_args": options,
            "ansible_become": False,
        }
        self.inventory = self.folder / "inventory.yml"
        self.inventory.write_text(json.dumps({"all": {"hosts": {NAME: host}}}))
        server = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", "chroot", str(self.root), "/usr/sbin/sshd", "-D"],
            stdin=subprocess.DEVNULL,
        )
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return server
            except OSError:
                assert time.monotonic() < end and server.poll() is None, "sshd did not start"
                time.sleep(0.2)

    def know(self, public_key: Path) -> None:
        """Let the controller expect this host key."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {' '.join(public_key.read_text().split()[:2])}\n")

    def stop(self) -> None:
        self._server.kill()
        self._server.wait()

    def write(self, path: str, content: str | Mapping[str, Any]) -> None:
        """Put a file onto the host in one step."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.new")
        draft.write_text(content if isinstance(content, str) else json.dumps(content))
        draft.replace(target)

    def boots(self, system: str, **arguments: str) -> None:
        """Become another system: ``dualroot.*`` arguments of the kernel, and a boot id of its own."""
        self.write("proc/cmdline", " ".join(f"dualroot.{name}={value}" for name, value in arguments.items()) + "\n")
        self.write("proc/sys/kernel/random/boot_id", f"{system}\n")
        self.write("proc/uptime", "20.0 1.0\n")

    def play(self, playbook: str, *options: str, **variables: Any) -> Outcome:
        return run_playbook(
            playbook,
            {**self.bundle.variables(), **variables},
            self.reports,
            inventory=self.inventory,
            options=options,
        )


def make_key(path: Path) -> None:
    _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
