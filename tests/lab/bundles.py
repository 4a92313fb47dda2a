# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bundles of the tests, built by ``playbooks/build.yml`` as an operator builds them."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
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

    ``padding_bytes`` of noise, which no compression makes smaller, come along in the payload.
    """

    suite: str
    layout: str
    network: str
    variables: dict[str, Any] = field(default_factory=dict)
    padding_bytes: int = 0


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


def build_bundle(name: str, *, show: bool = False) -> Bundle:
    """Build a bundle into the cache folder; what has not changed since the last time is reused."""
    recipe = RECIPES[name]
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
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
        outcome = run_playbook("build", variables, cache / "reports", show=show)
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
