# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guest of a machine as its user meets it: over SSH, with a key, a password and a known host key."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

from .credentials import Credentials


class MachineError(Exception):
    """A machine did not do what it was asked; the text says where its logs are."""


class Guest:
    """The way into a guest; everything about it is in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def private_key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def credentials(self) -> Credentials:
        return Credentials.load(self.folder / "credentials.json")

    @property
    def port(self) -> int:
        """The loopback port of the guest's SSH; the same for the machine's whole life."""
        return int((self.folder / "port").read_text())

    def answers(self) -> bool:
        """Return whether the guest lets its user in."""
        # QEMU accepts for the guest at once; only the banner shows that there is a server.
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                connection.settimeout(5)
                if not connection.recv(4).startswith(b"SSH"):
                    return False
            return self.ssh("echo in", timeout=60) == "in\n"
        except (OSError, MachineError, subprocess.TimeoutExpired):
            return False

    def ssh_command(self, *command: str) -> list[str]:
        """Return the argv that runs ``command`` in the guest, as its user and with its key."""
        argv = ["ssh", "-i", str(self.private_key), "-p", str(self.port), "-o", "IdentitiesOnly=yes"]
        argv += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}"]
        argv += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ControlPath=none"]
        return [*argv, f"{self.credentials.user}@127.0.0.1", *command]

    def ssh(self, command: str, *, timeout: float = 120.0) -> str:
        """Run a shell command in the guest and return its output; raises ``MachineError``."""
        done = subprocess.run(
            self.ssh_command(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise MachineError(f"{command}: status {done.returncode}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def login_by_password(self) -> str:
        """Log in with the password alone and return the name of the user who is in."""
        argv = self.ssh_command("id", "-un")
        # The first value of an option counts, so these go before the others.
        argv[1:1] = ["-o", "PubkeyAuthentication=no", "-o", "PreferredAuthentications=password", "-o", "BatchMode=no"]
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.credentials.password + "\n")
        argv = ["sshpass", "-f", str(secret), *argv]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            raise MachineError(f"{self.name}: no login by password: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode().strip()

    def write_login(self, login: Credentials) -> None:
        """Keep how to log in; the files are for their owner only."""
        login.save(self.folder / "credentials.json")
        self.private_key.touch(mode=0o600)
        self.private_key.write_text(login.private_key)

    def write_connection(self, port: int) -> None:
        """Write port, ``known_hosts`` and inventory; the host keys are known from the image."""
        (self.folder / "port").write_text(f"{port}\n")
        login = self.credentials
        lines = [f"[127.0.0.1]:{port} {key}\n" for key in login.known_hosts]
        self.known_hosts.write_text("".join(lines))
        options = f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={self.known_hosts}"
        host = {
            "ansible_host": "127.0.0.1",
            "ansible_port": port,
            "ansible_user": login.user,
            "ansible_ssh_private_key_file": str(self.private_key),
            "ansible_ssh_common_args": f"{options} -o IdentitiesOnly=yes",
            "ansible_become": True,
        }
        # JSON is YAML, and this file needs no library to be written.
        document = {"all": {"hosts": {self.name: host}}}
        self.inventory.write_text(json.dumps(document, indent=2) + "\n")
