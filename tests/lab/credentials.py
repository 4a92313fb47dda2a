# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The secrets of one image: made when it is built, kept beside it, never in the tree.

They double as canaries: a test that finds one of them in a log has found a leak.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """How to log in to a guest, and what must never be shown.

    ``host_keys`` are the private SSH host keys, ``known_hosts`` the public ones as ``type base64``.
    """

    user: str
    password: str
    password_hash: str
    private_key: str
    public_key: str
    host_keys: tuple[str, ...] = ()
    known_hosts: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Credentials:
        document = json.loads(path.read_text())
        for name in ("host_keys", "known_hosts"):
            document[name] = tuple(document[name])
        return cls(**document)

    def canaries(self) -> tuple[str, ...]:
        """Return strings of which none may appear in output, logs, reports or world-readable files.

        Of a private key, whole lines of its body: a tool may wrap, indent or escape the key.
        """
        lines = [line for key in self.host_keys for line in key.splitlines()]
        # The first lines of an OpenSSH key are its type and public half, which are no secret: of an ECDSA key
        # a whole line stands in the public key as well.
        public = "\n".join((*self.known_hosts, self.public_key))
        bodies = [
            line
            for line in lines
            if "-----" not in line and not line.startswith("b3BlbnNzaC1rZXkt") and line not in public
        ]
        return (self.password, self.password_hash, *(line for line in bodies if len(line) > 40))


def generate_login(user: str, folder: Path) -> Credentials:
    """Make a password and a key pair for ``user``; ``folder`` takes the key files."""
    key = folder / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(key)], check=True)
    password = secrets.token_urlsafe(15)
    hashed = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=password.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return Credentials(
        user=user,
        password=password,
        password_hash=hashed.stdout.decode().strip(),
        private_key=key.read_text(),
        public_key=key.with_suffix(".pub").read_text().strip(),
    )
