# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The convert environment: kernel, initrd, device patterns and interpreter, from distribution packages.

The initrd is two cpio archives, one behind the other, which the kernel unpacks in turn: the base
(packages; slow to make, kept in a cache by the digest of its recipe) and the program (this engine and
``/init``; made anew each time). Equal inputs give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..boot import uefi_image
from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..runner import Runner
from ..units import format_size
from . import drivers, packing, tree

#: Raise when the code below would make other bytes of the same recipe.
BUILDER = 5
#: Names of the package files, as apt had them; dpkg keeps no record of packages that are only unpacked.
PACKAGES = "packages"
ENGINE_HOME = "usr/lib/dualroot/dualroot"
#: Where the loader for UEFI hosts lies; ``boot.uefi`` takes it from there.
LOADER_HOME, UEFI_LOADER = "usr/lib/dualroot", "grubx64.efi"
#: Parts of the engine that only the controller or the build needs; what is not there takes no RAM.
NOT_IN_STAGE_TWO = ("ansible_module.py", "bundle", "report", "snapshot", "waiting")
#: Of the parts left out, what checks the proof of a run.
YET_IN_STAGE_TWO = ("__init__.py", "manifest.py", "proof.py", "signature.py")


@dataclass(frozen=True)
class Recipe:
    """All that decides the bytes of the base; paths and patterns as in ``tree.Selection``.

    ``mirrors`` are lines of sources.list(5); ``links`` are ``{path: target}``; ``overlay`` is a folder of own
    files, copied last; ``interpreter`` is the folder with the bundled interpreter's start script; ``modules``
    and ``modules_without`` are patterns as in ``drivers.choose``; ``epoch`` is the time of every file, in
    seconds since 1970; ``level`` is zstd's.
    """

    suite: str
    mirrors: Sequence[str]
    packages: Sequence[str]
    kernel_package: str
    firmware_packages: Sequence[str]
    programs: Sequence[str]
    files: Sequence[str]
    without: Sequence[str]
    libraries: Sequence[str]
    links: Mapping[str, str]
    modules: Sequence[str]
    modules_without: Sequence[str]
    epoch: int
    level: int
    overlay: Path
    interpreter: Path

    def digest(self) -> str:
        """Return what names this recipe in the cache."""
        document = asdict(self)
        document["overlay"] = tree.digest(self.overlay)
        document["interpreter"] = tree.digest(self.interpreter)
        document["builder"] = BUILDER
        document["uefi_loader"] = [uefi_image.EARLY, uefi_image.PREFIX, *uefi_image.MODULES]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Base:
    """A built base in the cache."""

    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "base.cpio.zst"

    @property
    def modaliases(self) -> Path:
        return self.folder / "modaliases.json"

    @property
    def interpreter(self) -> Path:
        return self.folder / "interpreter.tar.gz"


def cached_base(recipe: Recipe, cache: Path) -> Base | None:
    """Return the base that was already built from this recipe, if there is one."""
    folder = cache / f"environment-{recipe.digest()[:32]}"
    facts = folder / "facts.json"
    return Base(folder, json.loads(facts.read_bytes())) if facts.is_file() else None


def build_base(runner: Runner, recipe: Recipe, cache: Path, scratch: Path) -> Base:
    """Build the base into the cache.

    Needs root, mmdebstrap and the mirrors. ``scratch`` is an empty folder that the caller removes.
    """
    full, root, result = scratch / "full", scratch / "root", scratch / "result"
    extract(runner, recipe, full)
    runner.run(["chroot", str(full), "/usr/sbin/depmod", drivers.release_of(full)])
    result.mkdir()
    fill(runner, recipe, full, root)
    release = drivers.release_of(root)
    shutil.copyfile(full / "boot" / f"vmlinuz-{release}", result / "vmlinuz")
    module_folder = root / "usr/lib/modules" / release
    patterns = drivers.alias_patterns(
        (module_folder / "modules.alias").read_text(),
        (module_folder / "modules.builtin.modinfo").read_bytes(),
        (module_folder / "modules.builtin").read_text(),
    )
    (result / "modaliases.json").write_text(json.dumps(patterns, indent=0) + "\n")
    interpreter = scratch / "interpreter"
    fill_interpreter(root, interpreter, recipe.interpreter)
    packing.pack_tar(runner, interpreter, result / "interpreter.tar.gz", ["gzip", "-n", "-9"], recipe.epoch)
    unpacked = packing.pack_cpio(runner, root, result / "base.cpio.zst", recipe.epoch, recipe.level)
    facts = {"kernel_release": release, "unpacked_bytes": unpacked, "packages": installed(full)}
    (result / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    folder = cache / f"environment-{recipe.digest()[:32]}"
    shutil.rmtree(folder, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copytree(result, folder)
    return Base(folder, facts)


def extract(runner: Runner, recipe: Recipe, target: Path) -> None:
    """Unpack the packages and what they depend on; none of their scripts runs."""
    packages = [*recipe.packages, recipe.kernel_package, *recipe.firmware_packages]
    runner.run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=extract",
            "--format=directory",
            f"--include={','.join(packages)}",
            f'--extract-hook=ls "$1/var/cache/apt/archives" > "$1/{PACKAGES}"',
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            recipe.suite,
            str(target),
            *recipe.mirrors,
        ]
    )


def installed(full: Path) -> list[str]:
    """Return ``name=version`` of every unpacked package, sorted."""
    names = (full / PACKAGES).read_text().split()
    parts = (name[: -len(".deb")].split("_") for name in names if name.endswith(".deb"))
    # apt writes the colon of an epoch as %3a into file names.
    return sorted(f"{name}={version.replace('%3a', ':')}" for name, version, _architecture in parts)


def fill(runner: Runner, recipe: Recipe, full: Path, root: Path) -> None:
    """Make the tree of the initrd's base: programs, libraries, data, drivers, Python compiled."""
    root.mkdir()
    release = drivers.release_of(full)
    module_folder = full / "usr/lib/modules" / release
    chosen = drivers.choose(
        (module_folder / "modules.dep").read_text(),
        (module_folder / "modules.softdep").read_text(),
        recipe.modules,
        recipe.modules_without,
    )
    extra = [
        f"usr/lib/modules/{release}/{name}" for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order")
    ]
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    selection = tree.Selection(recipe.programs, [*recipe.files, *extra], recipe.without, recipe.libraries)
    tree.copy(full, root, tree.select(full, selection))
    tree.copy(full, root, [module_folder / name for name in chosen])
    tree.copy(full, root, firmware(runner, full, release, chosen))
    for name in (
        "dev",
        "proc",
        "sys",
        "run",
        "tmp",
        "root",
        "mnt",
        "var/tmp",
        "var/log",
        "etc/dualroot",
        "usr/lib64",
    ):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "usr/lib/dualroot").mkdir()
    (root / "usr/lib/dualroot/packages").write_text("".join(f"{line}\n" for line in installed(full)))
    tree.overlay(recipe.overlay, root)
    tree.links(root, recipe.links)
    applets = runner.run(["chroot", str(full), "/usr/bin/busybox", "--list"]).text.split()
    tree.links(root, {f"usr/bin/{name}": "busybox" for name in applets if not (root / "usr/sbin" / name).exists()})
    compile_python(runner, root)
    build_uefi_loader(runner, full, root)
    runner.run(["chroot", str(root), "/usr/sbin/depmod", release])
    for name in ("modules.dep", "modules.alias", "modules.symbols"):
        # The binary index beside it is what kmod reads; the text is kept only for the alias list.
        if name != "modules.alias":
            (root / "usr/lib/modules" / release / name).write_bytes(b"")
    tree.normalise(root)


def compile_python(runner: Runner, root: Path) -> None:
    """Keep the standard library as byte code only: smaller in RAM, quicker to start, checked for nothing."""
    home = next(path for path in sorted((root / "usr/lib").glob("python3.*")) if path.is_dir())
    inside = "/" + str(home.relative_to(root))
    # A fixed hash seed: the order of sets in byte code would differ from build to build.
    runner.run(
        [
            "chroot",
            str(root),
            "/usr/bin/env",
            "PYTHONHASHSEED=0",
            "/usr/bin/python3",
            "-m",
            "compileall",
            "-b",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            inside,
        ]
    )
    for source in home.rglob("*.py"):
        if source.with_suffix(".pyc").exists():
            source.unlink()
    for folder in list(home.rglob("__pycache__")):
        shutil.rmtree(folder)


def build_uefi_loader(runner: Runner, full: Path, root: Path) -> None:
    """Put the loader for UEFI hosts into the tree; the same GRUB has made it that the environment carries.

    Its modules are needed nowhere else, so they stay behind.
    """
    config, image = "usr/lib/grub/early.cfg", f"{LOADER_HOME}/{UEFI_LOADER}"
    (full / config).write_text(uefi_image.EARLY)
    (full / LOADER_HOME).mkdir(parents=True, exist_ok=True)
    argv = uefi_image.build_argv("/usr/lib/grub/x86_64-efi", f"/{config}", f"/{image}")
    runner.run(["chroot", str(full), *argv])
    shutil.copyfile(full / image, root / image)


def firmware(runner: Runner, full: Path, release: str, chosen: Sequence[str]) -> list[Path]:
    """Return the firmware files that the chosen modules name and the unpacked packages hold."""
    home = full / "usr/lib/firmware"
    if not home.is_dir():
        return []
    names = runner.run(
        [
            "chroot",
            str(full),
            "/usr/sbin/modinfo",
            "-k",
            release,
            "-F",
            "firmware",
            *map(drivers.module_name, chosen),
        ]
    ).text.split()
    return sorted({match for name in names for match in home.glob(f"{name}*") if match.is_file()})


def fill_interpreter(root: Path, target: Path, extra: Path) -> None:
    """Make the tree of the bundled interpreter of the finished base; ``extra`` holds its start script."""
    home = next(path for path in sorted((root / "usr/lib").glob("python3.*")) if path.is_dir())
    program = root / "usr/bin" / home.name
    (target / "bin").mkdir(parents=True)
    shutil.copyfile(program, target / "bin/python")
    (target / "bin/python").chmod(0o755)
    shutil.copytree(home, target / "lib" / home.name, symlinks=True)
    shutil.copyfile(root / "usr/bin/openssl", target / "bin/openssl")
    (target / "bin/openssl").chmod(0o755)
    wanted = tree.Selection(
        [home.name, "openssl"], [f"usr/lib/{home.name}/lib-dynload"], (), ("libselinux.so.1", "libgcc_s.so.1")
    )
    for path in sorted(tree.select(root, wanted)):
        if ".so" in path.name and home.name not in path.parts:
            shutil.copyfile(path, target / "lib" / path.name)
            (target / "lib" / path.name).chmod(0o755)
    tree.overlay(extra, target)
    tree.normalise(target)


def pack_program(runner: Runner, engine: Path, init: Path, epoch: int, scratch: Path) -> tuple[Path, int]:
    """Pack the engine and ``/init`` as the initrd's second part; return it and its unpacked bytes."""
    root = scratch / "program"
    home = root / ENGINE_HOME
    for path in sorted(engine.rglob("*.py")):
        name = path.relative_to(engine)
        left_out = name.parts[0] in NOT_IN_STAGE_TWO and (
            name.parts[0] != "bundle" or name.name not in YET_IN_STAGE_TWO
        )
        if not left_out and "__pycache__" not in name.parts:
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, home / name)
            (home / name).chmod(0o644)
    shutil.copyfile(init, root / "init")
    (root / "init").chmod(0o755)
    tree.normalise(root)
    packed = scratch / "program.cpio.zst"
    return packed, packing.pack_cpio(runner, root, packed, epoch, 19)


def assemble(
    runner: Runner, base: Base, engine: Path, init: Path, epoch: int, limit: int, target: Path, scratch: Path
) -> dict[str, Any]:
    """Write the environment's files into ``target``; return ``{kernel_release, unpacked_bytes}``.

    Raises ``bundle.initrd_too_large`` above ``limit`` bytes.
    """
    target.mkdir(parents=True, exist_ok=True)
    program, unpacked = pack_program(runner, engine, init, epoch, scratch)
    initrd = scratch / "initrd.img"
    with initrd.open("wb") as output:
        for part in (base.initrd, program):
            with part.open("rb") as archive:
                shutil.copyfileobj(archive, output, 1 << 20)
            # The kernel skips zeros between archives; each must begin at a multiple of four.
            output.write(b"\0" * (-output.tell() % 4))
    size = initrd.stat().st_size
    if size > limit:
        raise Fault(kinds.INITRD_TOO_LARGE, found=format_size(size), limit=format_size(limit))
    for source, name in (
        (base.kernel, "vmlinuz"),
        (initrd, "initrd.img"),
        (base.modaliases, "modaliases.json"),
        (base.interpreter, "interpreter.tar.gz"),
    ):
        place(source, target / name)
    return {
        "kernel_release": base.facts["kernel_release"],
        "unpacked_bytes": int(base.facts["unpacked_bytes"]) + unpacked,
    }


def place(source: Path, target: Path) -> None:
    """Put a copy at ``target`` so that a reader sees the old file or the new one, never half of it."""
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, draft)
    draft.chmod(0o644)
    draft.replace(target)
