# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Boot entries of a slot whose own GRUB understands the Boot Loader Specification (RHEL family).

Such a slot has its kernels as entries below ``/boot/loader/entries``, written here at its installation and kept since
by the distribution's own ``kernel-install`` and ``grubby``. The script ``slot-entry`` reads from them which kernel the
dispatcher loads, and with which arguments; so ``grubby --set-default`` and ``grubby --args`` mean what they say.

Type 1 entries: https://uapi-group.org/specifications/specs/boot_loader_specification/; the keys ``grub_users``,
``grub_arg`` and ``grub_class`` are those of the RHEL family's ``20-grub.install``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..archive.durable import write_file
from . import kernels, titles

ENTRIES = "boot/loader/entries"
#: kernel-install(8) takes the arguments of a new kernel's entry from here.
COMMAND_LINE = "etc/kernel/cmdline"
UNIT_NAME = "dualroot-slot-entry"

_SETTING = re.compile(r'^\s*GRUB_ENABLE_BLSCFG=["\']?true', re.MULTILINE)

PATH_UNIT = """\
# Written by dualroot.migrate: grubby and kernel-install change entries without running any hook.
[Unit]
Description=Watch the boot entries of this slot

[Path]
PathChanged=/boot/loader/entries
PathChanged=/boot/grub2/grubenv

[Install]
WantedBy=multi-user.target
"""

SERVICE_UNIT = """\
# Written by dualroot.migrate.
[Unit]
Description=Tell the dispatcher which kernel of this slot to load

[Service]
Type=oneshot
ExecStart=/usr/local/lib/dualroot/slot-entry
"""


def is_understood(root: Path) -> bool:
    """Tell whether the GRUB of the system below ``root`` reads entries (``GRUB_ENABLE_BLSCFG``)."""
    path = root / "etc/default/grub"
    return path.is_file() and _SETTING.search(path.read_text("utf-8", "replace")) is not None


def write(root: Path, arguments: Sequence[str]) -> list[Path]:
    """Write an entry for each kernel below ``root``, and what keeps them; nothing where they are not understood.

    Entries that the payload brought name the disk of the machine that it was made on, so they go.
    """
    if not is_understood(root):
        return []
    folder = root / ENTRIES
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    for path in folder.glob("*.conf"):
        path.unlink()
    words = " ".join((*_root(root), *arguments))
    name, machine = titles.of_system(root), _machine_id(root)
    written = []
    for found in kernels.find_all(root):
        release = kernels.release_of(found.kernel)
        path = folder / f"{machine}-{release}.conf"
        write_file(path, render(f"{name} ({release})", release, found, words).encode("utf-8"))
        written.append(path)
    (root / COMMAND_LINE).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(root / COMMAND_LINE, f"{words}\n".encode("ascii"))
    _watch(root)
    return written


def render(title: str, release: str, found: kernels.Kernel, options: str) -> str:
    """Return the text of an entry."""
    return (
        f"title {title}\n"
        f"version {release}\n"
        f"linux {found.kernel}\n"
        f"initrd {found.initrd}\n"
        f"options {options}\n"
        "grub_users $grub_users\n"
        "grub_arg --unrestricted\n"
        "grub_class kernel\n"
    )


def _root(root: Path) -> tuple[str, ...]:
    """Return the arguments that name the root, from fstab; none where it has no line for it (overlay)."""
    path = root / "etc/fstab"
    for line in path.read_text("utf-8", "replace").splitlines() if path.is_file() else ():
        words = line.split()
        if len(words) > 1 and words[1] == "/" and not line.startswith("#"):
            return f"root={words[0]}", "ro"
    return ("ro",)


def _machine_id(root: Path) -> str:
    path = root / "etc/machine-id"
    found = path.read_text("ascii", "replace").strip() if path.is_file() else ""
    return found if re.fullmatch(r"[0-9a-f]{32}", found) else "dualroot"


def _watch(root: Path) -> None:
    units = root / "etc/systemd/system"
    wanted = units / f"multi-user.target.wants/{UNIT_NAME}.path"
    wanted.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_file(units / f"{UNIT_NAME}.path", PATH_UNIT.encode("ascii"))
    write_file(units / f"{UNIT_NAME}.service", SERVICE_UNIT.encode("ascii"))
    if not wanted.is_symlink():
        wanted.symlink_to(f"../{UNIT_NAME}.path")
