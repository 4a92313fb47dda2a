# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the disk image of a recipe, once; it is kept in a cache folder outside the tree.

The root file system comes from mmdebstrap and is written into the disk by ``mke2fs -d``, which keeps
owners, modes and extended attributes and needs no loop device. The boot loader is put there by the
guest itself, at a first boot that QEMU starts without one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import accelerator, firmware, image_disk
from .cache import cache_folder, locked
from .credentials import Credentials, generate_login
from .image_disk import Ids, ImageError, run
from .recipes import GUEST_FILES, Recipe

__all__ = ["Image", "ImageError", "build"]

FIRST_BOOT_SECONDS = 600
DEFAULT_MIRROR = "http://deb.debian.org"


@dataclass(frozen=True)
class Image:
    """A built image: a sparse raw disk that nobody may write to, and its credentials."""

    recipe: Recipe
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def variables(self) -> Path:
        """The firmware's variables after the first boot; only images for UEFI have them."""
        return self.folder / firmware.VARIABLES

    @property
    def credentials(self) -> Credentials:
        return Credentials.load(self.folder / "credentials.json")


def build(recipe: Recipe) -> Image:
    """Return the image of ``recipe``, building it if the cache has none. Raises ``ImageError``."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    image = Image(recipe, cache / f"{recipe.name}-{recipe.digest()[:16]}")
    with locked(cache / f"{recipe.name}.lock"):
        if not image.folder.exists():
            if os.geteuid() != 0:
                raise ImageError("building an image needs root, for its owners, modes and device nodes")
            scratch = cache / f"{recipe.name}.building"
            # What a build that was killed has left; the lock says that nobody is at it.
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(mode=0o700)
            _build_in(recipe, scratch)
            (scratch / "image").rename(image.folder)
            shutil.rmtree(scratch)
    return image


def _build_in(recipe: Recipe, scratch: Path) -> None:
    root, image = scratch / "root", scratch / "image"
    image.mkdir(mode=0o700)
    _install_packages(recipe, root, scratch / "mmdebstrap.log")
    shutil.copytree(GUEST_FILES, root, dirs_exist_ok=True)
    ids = Ids()
    credentials = _personalise(recipe, root, scratch, ids)
    credentials.save(image / "credentials.json")
    # Read before the root is packed; inside the guest the distribution's links lead to them.
    for name in ("vmlinuz", "initrd.img"):
        shutil.copyfile((root / name).resolve(), scratch / name)
    image_disk.write(recipe, root, image / "disk.raw", ids)
    _first_boot(recipe, scratch, image)


def _install_packages(recipe: Recipe, root: Path, log: Path) -> None:
    mirror = os.environ.get("DUALROOT_MIRROR", DEFAULT_MIRROR)
    argv = ["setpriv", "--pdeathsig", "TERM", "--", "mmdebstrap", "--mode=root"]
    argv += ["--variant=minbase", f"--include={','.join(recipe.packages)}"]
    argv += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "5"']
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale", "info")]
    # Without the security suite: a suite that no longer changes makes the same host every time.
    argv += [recipe.suite, str(root), f"deb {mirror}/debian {recipe.suite} main"]
    with log.open("wb") as output:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    if done.returncode != 0:
        raise ImageError(f"mmdebstrap failed; its last words:\n{log.read_text(errors='replace')[-2000:]}")


def _personalise(recipe: Recipe, root: Path, scratch: Path, ids: Ids) -> Credentials:
    """Give the root a name, a user, keys and a machine-id; return its credentials."""
    login = generate_login(recipe.login_user, scratch)
    (root / "etc/hostname").write_text(recipe.host_name + "\n")
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {recipe.host_name}.plant.example {recipe.host_name}\n"
    (root / "etc/hosts").write_text(hosts + "::1 localhost ip6-localhost\n")
    (root / "etc/fstab").write_text(ids.fstab(recipe))
    if recipe.firmware == "uefi":
        # The name that the same interface has on the machine's other chip set.
        interfaces = root / "etc/network/interfaces"
        interfaces.write_text(interfaces.read_text().replace("ens3", "enp0s3"))
    (root / "etc/machine-id").write_text(os.urandom(16).hex() + "\n")
    (root / "etc/timezone").write_text("Europe/Berlin\n")
    _relink(root / "etc/localtime", "/usr/share/zoneinfo/Europe/Berlin")
    (root / "etc/sudoers.d/admin").chmod(0o440)
    _in_root(root, "groupadd", "--gid", "1500", "gateway")
    _in_root(
        root,
        *("useradd", "--create-home", "--shell", "/bin/bash", "--comment", "Plant administrator"),
        *("--groups", "gateway,sudo", recipe.login_user),
    )
    _in_root(root, "chpasswd", "--encrypted", stdin=f"{recipe.login_user}:{login.password_hash}\n")
    _in_root(root, "passwd", "--lock", "root")
    ssh = root / "home" / recipe.login_user / ".ssh"
    ssh.mkdir(mode=0o700)
    (ssh / "authorized_keys").write_text(login.public_key + "\n")
    (ssh / "authorized_keys").chmod(0o600)
    _in_root(root, "chown", "--recursive", f"{recipe.login_user}:", f"/home/{recipe.login_user}/.ssh")
    # Background work that would share the emulated processors with the test.
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer"):
        _relink(root / "etc/systemd/system" / timer, "/dev/null")
    keys = sorted((root / "etc/ssh").glob("ssh_host_*_key"))
    publics = [key.with_suffix(".pub").read_text().split() for key in keys]
    return dataclasses.replace(
        login,
        host_keys=tuple(key.read_text() for key in keys),
        known_hosts=tuple(f"{public[0]} {public[1]}" for public in publics),
    )


def _relink(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _in_root(root: Path, *argv: str, stdin: str = "") -> None:
    run(["chroot", str(root), *argv], stdin)


def _first_boot(recipe: Recipe, scratch: Path, image: Path) -> None:
    """Boot the disk by its kernel, without a boot loader; the guest installs its own and powers off."""
    log = scratch / "first-boot.log"
    argv = ["setpriv", "--pdeathsig", "KILL", "--", "qemu-system-x86_64", *accelerator.qemu_arguments()]
    partition = 1
    if recipe.firmware == "uefi":
        partition = 2
        firmware.make_variables(image)
        argv += ["-machine", "q35", *firmware.qemu_arguments(image)]
    argv += ["-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
    argv += ["-serial", f"file:{log}"]
    argv += ["-kernel", str(scratch / "vmlinuz"), "-initrd", str(scratch / "initrd.img")]
    line = "rw console=ttyS0 panic=10 init=/usr/local/sbin/lab-first-boot"
    argv += ["-append", f"root=/dev/vda{partition} {line}"]
    argv += ["-drive", f"file={image / 'disk.raw'},format=raw,if=none,id=disk,cache=unsafe,discard=unmap"]
    argv += ["-device", "virtio-blk-pci,drive=disk"]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=FIRST_BOOT_SECONDS, check=False)
    text = log.read_text(errors="replace") if log.exists() else "(no output)"
    if "lab-first-boot: done" not in text:
        raise ImageError(f"the first boot did not install the boot loader; its console said:\n{text[-3000:]}")
