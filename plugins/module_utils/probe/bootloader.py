# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which boot loader the old system has, and whether a one-shot entry can be armed in it safely."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..disk import sysfs
from ..runner import Runner
from .mounts import Place, place_of

_PROGRAM_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin", "usr/local/bin")
#: GRUB's folder on Debian and on the RHEL family.
_GRUB_FOLDERS = ("/boot/grub2", "/boot/grub")
_ENVIRONMENT_HEADER = "# GRUB Environment Block"
#: Where GRUB's save_env can write: plain partitions only (measured; see the design's boot facts).
_WRITABLE_KINDS = ("ext2", "ext3", "ext4", "xfs", "vfat")


def read_bootloader(runner: Runner, root: Path = sysfs.ROOT) -> dict[str, Any]:
    """Return the ``bootloader`` of the facts. Read-only: nothing is test-written here."""
    folder = next((one for one in _GRUB_FOLDERS if _file(root, f"{one}/grub.cfg").is_file()), "")
    if not folder:
        return _without_grub(root)
    config = _config(folder, root)
    environment = f"{folder}/grubenv"
    doubt = _environment_doubt(place_of(runner, folder, root), environment, root)
    return {
        "kind": "grub2",
        "directory": folder,
        "config": f"{folder}/grub.cfg",
        "environment": environment,
        "reboot_tool": _tool(root, folder, "reboot"),
        "editenv_tool": _tool(root, folder, "editenv"),
        "grubby": _program(root, "grubby"),
        "reads_custom_cfg": bool(re.search(r"^\s*(source|configfile)\s+\S*custom\.cfg", config, re.M)),
        "handles_next_entry": bool(re.search(r"set\s+default=[\"']?\$\{?next_entry", config)),
        "environment_writable_by_grub": not doubt,
        "environment_doubt": doubt,
        "next_entry": read_environment(root, environment).get("next_entry", ""),
    }


def read_environment(root: Path, path: str) -> dict[str, str]:
    """Return the variables of a GRUB environment block; backslashes escape (grub-core/lib/envblk.c)."""
    found = {}
    for line in sysfs.read(root, path.lstrip("/")).splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = re.sub(r"\\(.)", r"\1", value)
    return found


def _environment_doubt(place: Place | None, environment: str, root: Path) -> str:
    """Return why GRUB may not be able to write its environment file, or an empty text."""
    if place is None or not place.stack:
        return f"it is not known on which device {environment} lies"
    if place.stack not in (("part",), ("disk",)):
        return f"{environment} lies on {' on '.join(place.stack)}, where GRUB cannot write"
    if place.mount.fstype not in _WRITABLE_KINDS:
        return f"{environment} lies on {place.mount.fstype}, where GRUB cannot write"
    try:
        data = _file(root, environment).read_bytes()
    except OSError:
        return f"{environment} does not exist"
    if len(data) != 1024 or not data.startswith(_ENVIRONMENT_HEADER.encode()):
        return f"{environment} is no environment block of 1024 bytes"
    return ""


def _config(folder: str, root: Path) -> str:
    """Return the configuration; on UEFI the file in the folder may only be a stub or a link."""
    text = sysfs.read(root, f"{folder.lstrip('/')}/grub.cfg")
    custom = root / "etc/grub.d/41_custom"
    # A stub names the real file by "configfile"; it is made from /etc/grub.d all the same.
    if "configfile" in text and len(text.splitlines()) < 10 and custom.is_file():
        return text + sysfs.read(root, "etc/grub.d/00_header") + sysfs.read(root, "etc/grub.d/41_custom")
    return text


def _without_grub(root: Path) -> dict[str, Any]:
    legacy = next((one for one in ("/boot/grub/menu.lst", "/boot/grub/grub.conf") if _file(root, one).is_file()), "")
    other = any(_file(root, one).exists() for one in ("/boot/loader", "/boot/extlinux", "/etc/lilo.conf"))
    return {
        "kind": "grub-legacy" if legacy else "other" if other else "none",
        "directory": str(Path(legacy).parent) if legacy else "",
        "config": legacy,
        "environment": "",
        "reboot_tool": None,
        "editenv_tool": None,
        "grubby": _program(root, "grubby"),
        "reads_custom_cfg": False,
        "handles_next_entry": False,
        "environment_writable_by_grub": False,
        "environment_doubt": "there is no GRUB 2",
        "next_entry": "",
    }


def _tool(root: Path, folder: str, name: str) -> str | None:
    """Return GRUB's tool; the RHEL family names tools and folder ``grub2``, so the two go together."""
    names = [f"grub2-{name}", f"grub-{name}"]
    if folder == "/boot/grub":
        names.reverse()
    return next((one for one in names if _program(root, one)), None)


def _program(root: Path, name: str) -> str | None:
    for folder in _PROGRAM_FOLDERS:
        if (root / folder / name).exists():
            return f"/{folder}/{name}"
    return None


def _file(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
