# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bundles of the tests, built by ``playbooks/build.yml`` as an operator builds them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .cache import cache_folder, locked
from .playbook import run_playbook


class BundleError(Exception):
    """A bundle could not be built; the text is what the playbook said."""


@dataclass(frozen=True)
class Bundle:
    """A built bundle, and the certificate and key of its signature."""

    folder: Path
    certificate: Path
    key: Path

    def variables(self) -> dict[str, Any]:
        """Return the variables that every playbook wants to know about a bundle."""
        return {"dualroot_bundle": str(self.folder), "dualroot_trusted_keys": [str(self.certificate)]}


@dataclass(frozen=True)
class BundleRecipe:
    """What the tests vary of a bundle; the cloud kernel has what QEMU offers, and is small.

    ``padding_bytes`` of noise, which no compression makes smaller, come along in the payload. With ``base`` the
    payload is that of another bundle of the tests, and ``files`` laid over it: text by path, or a link to what
    follows ``->``; a path that ends in ``!`` is executable. That costs seconds where a suite costs minutes.
    """

    suite: str
    layout: str
    network: str
    variables: dict[str, Any] = field(default_factory=dict)
    padding_bytes: int = 0
    base: str = ""
    files: dict[str, str] = field(default_factory=dict)


def _later(base: str, version: str, files: dict[str, str] | None = None) -> BundleRecipe:
    """Return a later version of a bundle: its system tells its version in ``/etc/lab-version``."""
    old = RECIPES[base]
    variables = {**old.variables, "dualroot_build_version": version, "dualroot_build_level": 1}
    files = {"etc/lab-version": f"{version}\n", **(files or {})}
    return replace(old, variables=variables, base=base, files=files)


def _unit(text: str) -> dict[str, str]:
    """Return the files of a unit that runs before everything else."""
    path = "etc/systemd/system/broken.service"
    return {path: text, "etc/systemd/system/sysinit.target.wants/broken.service": "-> ../broken.service"}


#: Systems that come up wrong, each in its own way, by the files that make them so.
_PANIC = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
ExecStart=/bin/sh -c 'echo c >/proc/sysrq-trigger'
"""
_HANG = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sleep infinity
"""
BROKEN: dict[str, dict[str, str]] = {
    "panic": _unit(_PANIC),
    "hang": _unit(_HANG),
    "offline": {
        f"etc/systemd/system/{name}": "-> /dev/null"
        for name in ("systemd-networkd.service", "systemd-networkd.socket", "networking.service")
    },
    "unhealthy": {
        "etc/dualroot/check/required.d/50-lab.sh!": "#!/bin/sh\necho 'the plant is cold'\nexit 1\n",
        # Else the short trial of the tests is over on a busy machine before the check has failed for good.
        "etc/dualroot/health.conf": "patience=5\n",
    },
}


RECIPES = {
    "debian13-va": BundleRecipe("trixie", "va", "networkd"),
    # A payload larger than the memory of the machines that take it.
    "debian13-va-padded": BundleRecipe("trixie", "va", "networkd", padding_bytes=1200 << 20),
    "debian12-dual": BundleRecipe("bookworm", "dual", "ifupdown"),
    # With what the ways to restore that are compared need.
    "benchmark": BundleRecipe(
        "trixie", "va", "networkd", {"dualroot_build_payload_packages": ["zstd", "xz-utils", "acl", "attr"]}
    ),
}
# What an operator brings in the years after the migration: the next versions, and some that should not have been.
for _number in ("2", "3"):
    RECIPES[f"debian13-va-{_number}"] = _later("debian13-va", _number)
RECIPES["debian12-dual-2"] = _later("debian12-dual", "2")
for _kind, _files in BROKEN.items():
    RECIPES[f"debian13-va-{_kind}"] = _later("debian13-va", "4", _files)


def build_bundle(name: str, *, show: bool = False) -> Bundle:
    """Build a bundle into the cache folder; what has not changed since the last time is reused."""
    recipe = RECIPES[name]
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    base = build_bundle(recipe.base, show=show) if recipe.base else None
    bundle = Bundle(cache / "bundles" / name, cache / "builder.pem", cache / "builder.key")
    variables = {
        "dualroot_bundle": str(bundle.folder),
        "dualroot_build_cache": str(cache),
        "dualroot_build_key": str(bundle.key),
        "dualroot_build_certificate": str(bundle.certificate),
        "dualroot_build_payload_suite": recipe.suite,
        "dualroot_build_payload_kernel_package": "linux-image-cloud-amd64",
        "dualroot_build_payload_network": recipe.network,
        "dualroot_build_layout": recipe.layout,
        "dualroot_build_mirror": os.environ.get("DUALROOT_MIRROR", ""),
        # The packages are those of tests/packages.txt.
        "dualroot_build_install_tools": False,
        **recipe.variables,
    }
    with locked(cache / f"{name}.lock"):
        if recipe.padding_bytes:
            variables["dualroot_build_payload_overlay"] = str(_padding(cache, recipe.padding_bytes))
        archive = cache / f"{name}.tar"
        if base is not None:
            _lay_over(archive, base, recipe.files)
            variables["dualroot_build_payload_source"] = str(archive)
        outcome = run_playbook("build", variables, cache / "reports", show=show)
        archive.unlink(missing_ok=True)
    if outcome.returncode != 0:
        raise BundleError(f"the bundle {name} was not built:\n{outcome.output[-4000:]}")
    return bundle


def _padding(cache: Path, count: int) -> Path:
    """Return a folder to lay over the root, with a file of noise that is always the same."""
    folder = cache / f"padding-{count}"
    path = folder / "srv/padding"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        chance = random.Random(count)
        with path.with_suffix(".new").open("wb") as file:
            for _piece in range(count >> 20):
                file.write(chance.randbytes(1 << 20))
        path.with_suffix(".new").replace(path)
    return folder


def _lay_over(archive: Path, base: Bundle, files: dict[str, str]) -> None:
    """Write an archive: the payload of ``base`` with files behind it, which count because they come last."""
    (payload,) = (base.folder / "payload").iterdir()
    folder = archive.with_suffix(".files")
    shutil.rmtree(folder, ignore_errors=True)
    for given, text in files.items():
        path = folder / given.removesuffix("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[3:])
        else:
            path.write_text(text)
            path.chmod(0o755 if given.endswith("!") else 0o644)
    subprocess.run(["zstd", "--quiet", "--force", "--decompress", str(payload), "-o", str(archive)], check=True)
    # Equal input gives an equal archive, so that the payload is not built again.
    fixed = ["--owner=0", "--group=0", "--numeric-owner", "--mtime=@1735689600"]
    names = sorted(given.removesuffix("!") for given in files)
    subprocess.run(["tar", "--append", f"--file={archive}", f"--directory={folder}", *fixed, *names], check=True)
    shutil.rmtree(folder)
