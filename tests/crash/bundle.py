# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A bundle with the real convert environment, the shipped layouts made small, and a tiny new system."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import environment, manifest, packing
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import accounts, document, secure_shell
from ansible_collections.dualroot.migrate.plugins.module_utils.capture import model as networks
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.boot import tiny_kernel
from tests.support import layouts

from . import filesystems
from .combos import Combo

REPOSITORY = Path(__file__).parents[2]
RELEASE = "6.12.0-new"
#: Of root at the console, and its hash (openssl passwd -6).
ROOT_PASSWORD = "crash"
_ROOT_HASH = "$6$dualroot$lqoewWkw4TehZ8ebzBnEG/7PZ.Qp47AH7dSXizEJtvPw1jrZWyc0xWhEUioHWewAYUwWwy9qGxqDZzabkHe630"
MACHINE_ID = hashlib.sha256(b"gw-0815").hexdigest()[:32]
#: Sizes of the shipped layouts made small enough for a disk of 2 GiB.
_SIZES = {
    "dispatch": "192 MiB",
    "esp": "64 MiB",
    "va": "640 MiB",
    "vb": "rest",
    "system": "rest",
    "image": "32 MiB",
    "data": "32 MiB",
}


@dataclass(frozen=True)
class SmallBundle:
    """A folder as ``stage`` wants it, and what the plan needs of it."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def environment(self) -> Path:
        return self.folder / "environment"


def make(folder: Path, built: Path, *, own_engine: bool = False) -> SmallBundle:
    """Make the bundle in ``folder`` from the one that ``built`` is (a folder with ``manifest.json``).

    With ``own_engine`` engine and ``/init`` are those of this tree, as a second archive behind the
    initrd, so that a change can be tried without building the environment anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "environment").mkdir(parents=True)
    (folder / "payload").mkdir()
    whole = json.loads((built / "manifest.json").read_bytes())
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile(built / "environment" / name, folder / "environment" / name)
    if own_engine:
        _append_engine(folder / "environment/initrd.img", folder)
    root = folder / "root"
    _fill(root)
    payload = folder / "payload/rootfs.tar.zst"
    packing.pack_tar(CommandRunner(), root, payload, packing.compressor("zstd", 3), 2_000_000_000, own=False)
    used = int(filesystems.run("du", "--summarize", "--bytes", str(root)).split()[0])
    parts = {
        **whole["environment"],
        "kernel": _file(folder, "environment/vmlinuz"),
        "initrd": _file(folder, "environment/initrd.img"),
    }
    described = {
        **whole,
        "environment": parts,
        "payload": {
            **whole["payload"],
            **_file(folder, "payload/rootfs.tar.zst"),
            "compression": "zstd",
            "unpacked_bytes": used,
            "network_renderer": "networkd",
        },
    }
    (folder / manifest.FILE_NAME).write_text(json.dumps(described, indent=1, sort_keys=True))
    return SmallBundle(folder, described)


def layout(combo: Combo) -> dict[str, Any]:
    """Return the shipped layout of a combination with small sizes."""
    shipped = layouts.document(combo.layout)
    groups = [volume for group in shipped["volume_groups"] for volume in group["volumes"]]
    for part in (*shipped["partitions"], *groups):
        part["size"] = _SIZES.get(part["id"], part["size"])
        if "minimum" in part:
            part["minimum"] = "256 MiB"
    return shipped


def capture(folder: Path) -> dict[str, Any]:
    """Return a capture document of a host with a login, host keys, and no network at all."""
    root = folder / "captured"
    (root / "etc/ssh").mkdir(parents=True, exist_ok=True)
    (root / "home/admin/.ssh").mkdir(parents=True, exist_ok=True)
    (root / "etc/hostname").write_text("gw-0815\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nadmin:x:1000:\n")
    (root / "etc/shadow").write_text(f"root:{_ROOT_HASH}:19000:0:99999:7:::\nadmin:*:19000:0:99999:7:::\n")
    key = root / "etc/ssh/ssh_host_ed25519_key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    shutil.copyfile(key.with_suffix(".pub"), root / "home/admin/.ssh/authorized_keys")
    (root / "etc/ssh/sshd_config").write_text("PermitRootLogin no\n")
    ssh = secure_shell.read(root, CommandRunner())
    return {
        "version": document.VERSION,
        "hostname": "gw-0815",
        "machine_id": MACHINE_ID,
        "network": {**networks.Network().to_document(), "runtime": {}},
        "accounts": accounts.read(root, tuple(ssh["authorized_keys_files"]), "admin"),
        "ssh": ssh,
        "extra_paths": [],
        "findings": [],
    }


def _fill(root: Path) -> None:
    """Make the tree of the new system: kernel, links, modes, owners, attributes, sparse and large files."""
    chance = random.Random(13)
    for name in ("boot", "etc/ssh", "usr/bin", "usr/share/data", "var/lib", "root", "home", "srv", "tmp"):
        (root / name).mkdir(parents=True)
    (root / f"boot/vmlinuz-{RELEASE}").write_bytes(tiny_kernel.image())
    (root / f"boot/initrd.img-{RELEASE}").write_bytes(b"initrd-of-new\n")
    (root / "etc/os-release").write_text('ID=tiny\nVERSION_ID="1"\nPRETTY_NAME="Tiny 1"\n')
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nshadow:x:42:\n")
    (root / "etc/shadow").write_text("root:*:19000:0:99999:7:::\n")
    (root / "etc/ssh/sshd_config").write_text("Include /etc/ssh/sshd_config.d/*.conf\n")
    for number in range(300):
        path = root / f"usr/share/data/file-{number:03d}"
        path.write_bytes(chance.randbytes(chance.choice((0, 300, 5000, 30000))))
        path.chmod(chance.choice((0o644, 0o755, 0o600, 0o4755)))
        if number % 10 == 0:
            os.link(path, path.with_name(f"link-{number:03d}"))
        if number % 25 == 0:
            os.chown(path, 1234, 42)
            os.setxattr(path, "user.mark", str(number).encode())
    (root / "usr/bin/large").write_bytes(chance.randbytes(8 << 20))
    with (root / "srv/sparse").open("wb") as file:
        file.truncate(16 << 20)
        file.seek(8 << 20)
        file.write(b"middle")
    (root / "tmp").chmod(0o1777)
    (root / "bin").symlink_to("usr/bin")


def _append_engine(initrd: Path, scratch: Path) -> None:
    home = scratch / "program"
    home.mkdir()
    init = REPOSITORY / "roles/bundle/files/init"
    packed, _size = environment.pack_program(
        CommandRunner(), REPOSITORY / "plugins/module_utils", init, 1_700_000_000, home
    )
    with initrd.open("ab") as output:
        output.write(b"\0" * (-output.tell() % 4))
        output.write(packed.read_bytes())
    shutil.rmtree(home)


def _file(folder: Path, name: str) -> dict[str, Any]:
    content = (folder / name).read_bytes()
    return {"file": name, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
