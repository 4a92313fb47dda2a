# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The payload: a new system's root file system, cleaned, checked and packed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..runner import Runner
from . import cpio, packing

SUFFIXES = {"zstd": ".tar.zst", "xz": ".tar.xz", "gzip": ".tar.gz", "none": ".tar"}

#: What must not travel to hundreds of hosts: identities, traces, and what names the old disk.
REMOVED = (
    "etc/ssh/ssh_host_*",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/dbus/machine-id",
    "var/lib/dhcp/*.leases*",
    "var/lib/NetworkManager/*",
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/archives/partial/*",
    "var/cache/debconf/*-old",
    "var/cache/dnf/*",
    "var/cache/yum/*",
    "var/lib/apt/lists/*",
    "var/lib/dpkg/*-old",
    "var/tmp/*",
    "lost+found",
    "boot/lost+found",
    "tmp/*",
    "run/*",
    "root/.bash_history",
    "home/*/.bash_history",
    "etc/udev/rules.d/70-persistent-net.rules",
    "etc/initramfs-tools/conf.d/resume",
    ".dockerenv",
    # What mmdebstrap was told for the build is not how the new system shall be kept.
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
)
#: Logs stay as empty files where a program expects its own file, in its own owner's hands.
EMPTIED = ("var/log/lastlog", "var/log/wtmp", "var/log/btmp", "var/log/faillog", "etc/machine-id")
REMOVED_LOGS = (
    "var/log/*.log",
    "var/log/*.log.*",
    "var/log/*.gz",
    "var/log/*.[0-9]",
    "var/log/journal/*",
    "var/log/apt/*",
)


@dataclass(frozen=True)
class SuiteRecipe:
    """A new system from a distribution suite: packages, folders of files copied over it before and after.

    ``early`` are there before any package is configured (so that its hooks and settings act), ``overlay``,
    where given, comes last, and ``mirrors`` are lines of sources.list(5). ``services`` are systemd units
    to enable beyond those that their packages enable.
    """

    suite: str
    mirrors: Sequence[str]
    packages: Sequence[str]
    early: Sequence[Path]
    overlay: Path | None
    slim: bool
    services: Sequence[str] = ()


def build_suite(runner: Runner, recipe: SuiteRecipe, target: Path) -> None:
    """Make the root file system with mmdebstrap in ``target``."""
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        f"--include={','.join(recipe.packages)}",
        '--aptopt=Apt::Install-Recommends "false"',
        f"--setup-hook=copy-in {' '.join(_contents(recipe.early))} /",
    ]
    if recipe.slim:
        argv += [
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/info/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--dpkgopt=path-exclude=/usr/share/lintian/*",
        ]
    if recipe.services:
        argv.append(f'--customize-hook=chroot "$1" systemctl enable {" ".join(recipe.services)}')
    if recipe.overlay is not None:
        argv.append(f"--customize-hook=copy-in {' '.join(_contents([recipe.overlay]))} /")
    runner.run([*argv, recipe.suite, str(target), *recipe.mirrors])


def is_archive(runner: Runner, source: Path) -> bool:
    """Tell a root archive (tar, plain or compressed) from a disk image; an OVA is a tar that is none."""
    listed = runner.run(["tar", "--list", f"--file={source}"], accept=range(256))
    if listed.returncode:
        return False
    names = listed.text.splitlines()
    return not any(name.lower().endswith(".ovf") and "/" not in name for name in names)


def unpack_archive(runner: Runner, archive: Path, target: Path) -> None:
    """Unpack a ready root archive, compressed or not; owners and attributes are kept as numbers."""
    target.mkdir(parents=True, exist_ok=True)
    try:
        runner.run(
            [
                "tar",
                "--extract",
                "--numeric-owner",
                "--same-owner",
                "--preserve-permissions",
                "--acls",
                "--xattrs",
                "--xattrs-include=*",
                f"--file={archive}",
                f"--directory={target}",
            ]
        )
        lone = [path for path in target.iterdir() if path.is_dir()]
        if len(lone) == 1 and len(list(target.iterdir())) == 1 and not (target / "etc").is_dir():
            # Packed with a folder around it, as tools that export a container do.
            _lift(lone[0], target)
    except Fault as error:
        raise Fault(kinds.PAYLOAD_UNREADABLE, source=archive, reason=error.what) from error


def _lift(folder: Path, target: Path) -> None:
    staging = target.with_name(target.name + ".lifted")
    folder.rename(staging)
    target.rmdir()
    staging.rename(target)


def clean(root: Path) -> list[str]:
    """Remove identities, traces and what names another disk; return the paths touched, sorted."""
    touched: list[str] = []
    for pattern in REMOVED + REMOVED_LOGS:
        for path in sorted(root.glob(pattern)):
            touched.append(str(path.relative_to(root)))
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for name in EMPTIED:
        path = root / name
        if path.is_file() and not path.is_symlink():
            path.write_bytes(b"")
            touched.append(name)
    touched += _clean_fstab(root / "etc/fstab", root) + _clean_resume(root)
    for name in ("dev", "proc", "sys", "run", "tmp"):
        (root / name).mkdir(exist_ok=True)
    for path in list((root / "dev").iterdir()):
        # Only mount points and static nodes of a container image; the new system has devtmpfs.
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (root / "tmp").chmod(0o1777)
    return sorted(touched)


def _clean_fstab(path: Path, root: Path) -> list[str]:
    """Drop swap, root, /boot and /boot/efi: stage two writes those of the new layout."""
    if not path.is_file():
        return []
    kept = []
    for line in path.read_text().splitlines():
        words = line.split()
        disk = len(words) >= 3 and not line.lstrip().startswith("#")
        if disk and (words[2] == "swap" or words[1] in ("/", "/boot", "/boot/efi", "none", "swap")):
            continue
        kept.append(line)
    path.write_text("".join(f"{line}\n" for line in kept))
    return [str(path.relative_to(root))]


def _clean_resume(root: Path) -> list[str]:
    """Take resume= out of GRUB's defaults: a resume device of another disk costs 30 seconds at each boot."""
    path = root / "etc/default/grub"
    if not path.is_file():
        return []
    before = path.read_text()
    after = re.sub(r"[ \t]*\b(resume|resume_offset)=[^\s\"']*", "", before)
    if after == before:
        return []
    path.write_text(after)
    return ["etc/default/grub"]


def inspect(root: Path) -> dict[str, Any]:
    """Return ``{os, network_renderer, kernel_release}``.

    Raises ``bundle.payload_incomplete`` with all that lacks.
    """
    missing = []
    kernels = (
        sorted((root / "boot").glob("vmlinuz-*"), key=lambda path: _version_key(path.name))
        if (root / "boot").is_dir()
        else []
    )
    release = kernels[-1].name[len("vmlinuz-") :] if kernels else ""
    if not kernels:
        missing.append("a kernel (boot/vmlinuz-*)")
    elif not any((root / "boot" / name).is_file() for name in (f"initrd.img-{release}", f"initramfs-{release}.img")):
        missing.append(f"an initramfs for the kernel {release} (boot/initrd.img-{release})")
    if not (root / "usr/sbin/sshd").exists() and not (root / "usr/bin/sshd").exists():
        missing.append("the SSH server (usr/sbin/sshd)")
    if not any(
        (root / name).exists() or (root / name).is_symlink()
        for name in ("sbin/init", "usr/sbin/init", "usr/lib/systemd/systemd")
    ):
        missing.append("an init (sbin/init)")
    if missing:
        raise Fault(kinds.PAYLOAD_INCOMPLETE, missing="; ".join(missing))
    return {"os": read_os_release(root), "network_renderer": renderer_of(root), "kernel_release": release}


def read_os_release(root: Path) -> dict[str, str]:
    """Return ``{id, version_id, pretty_name}`` of os-release(5); empty texts where it does not say."""
    found: dict[str, str] = {}
    for name in ("etc/os-release", "usr/lib/os-release"):
        path = root / name
        # The link of etc/os-release may be absolute; the second name is what it points to.
        if path.is_file() and not (path.is_symlink() and str(path.readlink()).startswith("/")):
            for line in path.read_text().splitlines():
                key, _equals, value = line.partition("=")
                found.setdefault(key.strip(), value.strip().strip("\"'"))
            break
    return {key: found.get(key.upper(), "") for key in ("id", "version_id", "pretty_name")}


def renderer_of(root: Path) -> str:
    """Return which program configures the network of this system: ``ifupdown`` or ``networkd``.

    ifupdown wins where both are there: Debian installs networkd with systemd but does not enable it.
    """
    if (root / "usr/sbin/ifup").exists() or (root / "sbin/ifup").exists():
        return "ifupdown"
    if (root / "usr/lib/systemd/systemd-networkd").exists() or (root / "lib/systemd/systemd-networkd").exists():
        return "networkd"
    raise Fault(
        kinds.PAYLOAD_INCOMPLETE,
        missing="a program that configures the network (ifupdown or systemd-networkd)",
    )


def measure(root: Path) -> tuple[int, int]:
    """Return the bytes of the tree on a disk with 4 KiB blocks, and the number of its entries."""
    total = entries = 0
    seen: set[tuple[int, int]] = set()
    for path in cpio.walk(root):
        info = path.lstat()
        entries += 1
        if info.st_nlink > 1 and not path.is_dir():
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
        total += max(4096, -(-info.st_size // 4096) * 4096)
    return total, entries


def pack(runner: Runner, root: Path, target: Path, compression: str, level: int, epoch: int) -> None:
    """Pack the cleaned tree as the payload's archive."""
    packing.pack_tar(runner, root, target, packing.compressor(compression, level), epoch, own=False)


def _contents(folders: Sequence[Path]) -> list[str]:
    return [str(item) for folder in folders for item in sorted(folder.iterdir())]


def _version_key(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(number or 0), text) for number, text in re.findall(r"(\d*)(\D*)", name))
