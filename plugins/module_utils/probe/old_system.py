# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the running system was started, so that another boot loader can start it in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..boot.kernels import INITRD_NAMES
from ..disk import sysfs
from ..disk.usage import unescape

#: Arguments that the boot loader adds for itself, and those of an earlier run of this project.
_OF_LOADER = ("BOOT_IMAGE=", "initrd=", "dualroot.", "resume=", "systemd.swap=")
_ALONE = ("gpt", "noresume")


def read_old_system(root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return ``{kernel, initrd, arguments, fstab, run_id, doubt}``; read-only.

    Paths are those inside of the root file system; ``fstab`` are ``{spec, target, options}``; ``run_id`` is that
    of an earlier run whose dispatcher started this system; ``doubt`` says why kernel or initramfs are not
    known, or is empty.
    """
    words = sysfs.read(root, "proc/cmdline").split()
    given = dict(word.partition("=")[::2] for word in words)
    release = sysfs.read(root, "proc/sys/kernel/osrelease")
    kernel = _kernel(given.get("BOOT_IMAGE", ""), release, root)
    initrd = _initrd(release, root)
    missing = [what for what, path in (("kernel", kernel), ("initramfs", initrd)) if not path]
    return {
        "kernel": kernel,
        "initrd": initrd,
        "arguments": [word for word in words if not word.startswith(_OF_LOADER) and word not in _ALONE],
        "fstab": _fstab(root),
        "run_id": given.get("dualroot.run", "") if given.get("dualroot.mode") == "old" else "",
        "doubt": f"the {' and the '.join(missing)} of the running system cannot be found in /boot" if missing else "",
    }


def _kernel(image: str, release: str, root: Path) -> str:
    """Return what the boot loader says it loaded, or else the file named after the running release.

    GRUB writes ``BOOT_IMAGE=(hd0,msdos1)/boot/vmlinuz-5.10`` or without the device, and without ``/boot`` where
    that is a file system of its own.
    """
    path = image.rpartition(")")[2]
    candidates = [path, f"/boot/{path.lstrip('/')}"] if path else []
    for one in (*candidates, f"/boot/vmlinuz-{release}"):
        if one.startswith("/boot/") and (root / one.lstrip("/")).is_file():
            return _inside(one, root)
    return ""


def _initrd(release: str, root: Path) -> str:
    for name in INITRD_NAMES:
        path = f"/boot/{name.format(release=release)}"
        if release and (root / path.lstrip("/")).is_file():
            return _inside(path, root)
    return ""


def _inside(path: str, root: Path) -> str:
    """Return the file itself: what a link leads to later may be another kernel."""
    found = (root / path.lstrip("/")).resolve()
    try:
        return f"/{found.relative_to(root.resolve())}"
    except ValueError:
        return path


def _fstab(root: Path) -> list[dict[str, str]]:
    lines = [line.split() for line in sysfs.read(root, "etc/fstab").splitlines()]
    return [
        {"spec": unescape(words[0]), "target": unescape(words[1]), "options": words[3]}
        for words in lines
        if len(words) >= 4 and not words[0].startswith("#")
    ]
