# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The source hosts of the lab, as recipes, and the digest that names a built one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

#: Files laid over the root of every guest; part of the digest.
GUEST_FILES = Path(__file__).parent / "guest_files"
#: Code that decides what an image holds: a change of it makes a new image.
IMAGE_CODE = tuple(Path(__file__).with_name(name) for name in ("image.py", "image_disk.py"))

GIB = 1 << 30

_GATEWAY_2018 = (
    "ca-certificates",
    "cron",
    "curl",
    "e2fsprogs",
    "grub-pc",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "isc-dhcp-client",
    "kmod",
    "less",
    "libcap2-bin",
    "linux-image-cloud-amd64",
    "logrotate",
    "netbase",
    "openssh-server",
    "openssl",
    "procps",
    "rsyslog",
    "sudo",
    "systemd-sysv",
    "tzdata",
    "udev",
)

#: The same host, bought later: its installer chose UEFI.
_GATEWAY_UEFI = tuple(
    sorted({*_GATEWAY_2018} - {"grub-pc"} | {"dosfstools", "efibootmgr", "grub-efi-amd64", "initramfs-tools"})
)


@dataclass(frozen=True)
class Recipe:
    """One source host: a Debian suite on a disk with one ext4 root partition.

    ``firmware`` ``bios``: an MBR with the root alone; ``uefi``: a GPT with an EFI system partition before it.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    disk_bytes: int = 8 * GIB
    host_name: str = "gw-0815"
    login_user: str = "admin"
    firmware: str = "bios"

    def digest(self) -> str:
        """Return a hex digest of everything that the image is made of, except the mirror's state."""
        described = json.dumps(dataclasses.asdict(self), sort_keys=True)
        digest = hashlib.sha256(described.encode())
        for path in sorted([*IMAGE_CODE, *(p for p in GUEST_FILES.rglob("*") if p.is_file())]):
            digest.update(f"{path.name} {path.stat().st_mode & 0o100:o}\n".encode() + path.read_bytes())
        return digest.hexdigest()


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("debian11", "bullseye", (*_GATEWAY_2018, "python3")),
        Recipe("debian11-py27", "bullseye", (*_GATEWAY_2018, "python-is-python2")),
        Recipe("debian11-nopython", "bullseye", _GATEWAY_2018),
        Recipe("debian12-uefi", "bookworm", (*_GATEWAY_UEFI, "python3"), firmware="uefi"),
    )
}
