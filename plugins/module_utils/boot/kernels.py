# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kernel and initramfs a root file system would start, by the names distributions give them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..faults import boot as kinds
from ..faults.fault import Fault

#: Debian and Ubuntu; RHEL family and Arch-like dracut hosts; SUSE.
INITRD_NAMES = ("initrd.img-{release}", "initramfs-{release}.img", "initrd-{release}")
_KERNEL = "vmlinuz-"
#: dracut's rescue image, and what dpkg and rpm leave beside a file.
_SKIPPED = re.compile(r"rescue|\.(dpkg-|rpm|old|bak)")
_PIECE = re.compile(r"\d+|\D+")


class Kernel(NamedTuple):
    """Absolute paths as seen from inside the root."""

    kernel: str
    initrd: str


def find(root: Path) -> Kernel:
    """Return the newest kernel below ``root/boot`` that has an initramfs; raises as ``find_all`` does."""
    return find_all(root)[0]


def find_all(root: Path) -> list[Kernel]:
    """Return the kernels below ``root/boot`` that have an initramfs, the newest first.

    Raises ``Fault`` ``boot.no_kernel`` where there is none, which says what was found instead.
    """
    boot = root / "boot"
    names = {path.name for path in boot.iterdir() if _is_filled(path)} if boot.is_dir() else set()
    found = (name for name in names if name.startswith(_KERNEL) and not _SKIPPED.search(name))
    releases = [name[len(_KERNEL) :] for name in found]
    whole = []
    for release in sorted(releases, key=version_key, reverse=True):
        initrd = next((name for name in (one.format(release=release) for one in INITRD_NAMES) if name in names), "")
        if initrd:
            whole.append(Kernel(f"/boot/{_KERNEL}{release}", f"/boot/{initrd}"))
    if whole:
        return whole
    alone = ", ".join(sorted(releases)) or "none"
    raise Fault(kinds.NO_KERNEL, root=root, found=f"Kernels without an initramfs in its /boot: {alone}.")


def release_of(kernel: str) -> str:
    """Return ``6.12.48+deb13-amd64`` for ``/boot/vmlinuz-6.12.48+deb13-amd64``."""
    return kernel.rsplit("/", 1)[-1][len(_KERNEL) :]


def version_key(release: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts releases by age: numbers as numbers, ``~`` before the end (as sort -V)."""
    pieces = [
        (1, int(piece), "") if piece.isdigit() else (0, 0, piece.replace("~", "\0"))
        for piece in _PIECE.findall(release)
    ]
    return (*pieces, (0, 0, "\1"))


def _is_filled(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
