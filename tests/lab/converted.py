# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images of hosts that are converted already: what updates and rollbacks are tried on.

A source host is migrated once by ``playbooks/migrate.yml``, shut down, and its disk kept in the cache. Its
name there follows from everything that such a disk is made of; ``DUALROOT_CONVERTED`` names a folder to take
instead, whatever it was made from, for somebody who works on what comes after the migration.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import firmware
from .bundles import Bundle, build_bundle
from .cache import cache_folder, locked
from .hardware import Options
from .image import Image, ImageError, build
from .machine import running
from .playbook import TOP, run_playbook
from .recipes import RECIPES

#: How a converted image is told from a source host's where either may be named.
PREFIX = "converted-"
HOST = "gw-0815"
#: What decides how a converted disk looks.
_SOURCES = ("playbooks", "plugins", "roles")


@dataclass(frozen=True)
class Conversion:
    """Which source host is converted by which bundle; ``variables`` are those of the run."""

    image: str
    bundle: str
    variables: dict[str, Any] = field(default_factory=dict)


CONVERSIONS = {
    "debian13-va": Conversion("debian11", "debian13-va"),
    "debian12-dual": Conversion("debian11", "debian12-dual"),
    "debian13-va-uefi": Conversion("debian12-uefi", "debian13-va"),
}


def convert(name: str) -> Image:
    """Return the image of a converted host, with ``plan.json`` and ``result.json`` of its run beside the disk.

    Raises ``ImageError``. The machine on it has to be called ``HOST``: its network card goes by the name.
    """
    conversion = CONVERSIONS[name]
    source = build(RECIPES[conversion.image])
    chosen = os.environ.get("DUALROOT_CONVERTED")
    if chosen and (Path(chosen) / name).is_dir():
        return Image(source.recipe, (Path(chosen) / name).resolve())
    bundle = build_bundle(conversion.bundle)
    cache = cache_folder()
    image = Image(source.recipe, cache / f"{PREFIX}{name}-{_digest(source, bundle, conversion)}")
    with locked(cache / f"{PREFIX}{name}.lock"):
        if not image.folder.exists():
            # A disk of gigabytes for each state of the sources: only the last one is worth its place.
            for old in cache.glob(f"{PREFIX}{name}-{'[0-9a-f]' * 16}"):
                shutil.rmtree(old)
            scratch = cache / f"{PREFIX}{name}.building"
            shutil.rmtree(scratch, ignore_errors=True)
            _convert_in(scratch, source, bundle, conversion)
            (scratch / "image").rename(image.folder)
            shutil.rmtree(scratch)
    return image


def _digest(source: Image, bundle: Bundle, conversion: Conversion) -> str:
    digest = hashlib.sha256(f"{source.recipe.digest()} {sorted(conversion.variables.items())}".encode())
    digest.update((bundle.folder / "manifest.json").read_bytes())
    for folder in _SOURCES:
        for path in sorted((TOP / folder).rglob("*")):
            if path.is_file() and path.suffix not in (".pyc", ".md"):
                digest.update(f"{path.relative_to(TOP)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _convert_in(scratch: Path, source: Image, bundle: Bundle, conversion: Conversion) -> None:
    image, reports = scratch / "image", scratch / "reports"
    image.mkdir(parents=True, mode=0o700)
    with running(scratch / HOST, Options(image=conversion.image), source) as machine:
        variables = {**bundle.variables(), "dualroot_consent": 1, **conversion.variables}
        outcome = run_playbook("migrate", variables, reports, inventory=machine.inventory)
        if outcome.returncode != 0 or outcome.result(HOST)["outcome"] != "converted":
            said = f"{outcome.output[-4000:]}\n{machine.console()[-2000:]}"
            raise ImageError(f"the host was not converted:\n{said}")
        machine.power_down()
    disk = ["qemu-img", "convert", "-O", "raw", str(machine.disk), str(image / "disk.raw")]
    subprocess.run(disk, check=True)
    if machine.options.firmware == "uefi":
        shutil.copyfile(machine.folder / firmware.VARIABLES, image / firmware.VARIABLES)
    machine.credentials.save(image / "credentials.json")
    for document in ("plan", "result"):
        shutil.copyfile(outcome.runs()[-1] / HOST / f"{document}.json", image / f"{document}.json")
