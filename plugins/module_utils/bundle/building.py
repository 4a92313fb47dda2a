# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The three steps of a build: environment, payload, manifest; each finds what the last build left."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..layout import loader
from ..runner import Runner
from . import environment, image, payload, signature, tree, write
from .manifest import SIGNATURE_NAME, hash_file

#: Raise when the code would make another payload of the same recipe.
PAYLOAD_BUILDER = 2


@dataclass(frozen=True)
class PayloadOrder:
    """What payload is wanted: from ``source`` (archive or disk image), from ``suite`` where that is ``None``.

    ``partition`` is the root's partition number in an image, 0 to look for it.
    """

    source: Path | None
    suite: payload.SuiteRecipe
    partition: int
    compression: str
    level: int
    epoch: int

    def digest(self) -> str:
        """Return what names this payload in the cache."""
        document: dict[str, Any] = {"builder": PAYLOAD_BUILDER, "compression": self.compression}
        document.update(level=self.level, epoch=self.epoch)
        if self.source is not None:
            document.update(source=hash_file(self.source), partition=self.partition)
        else:
            document.update(asdict(self.suite))
            document["early"] = [tree.digest(folder) for folder in self.suite.early]
            document["overlay"] = tree.digest(self.suite.overlay) if self.suite.overlay else ""
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def make_environment(
    runner: Runner,
    recipe: environment.Recipe,
    *,
    cache: Path,
    engine: Path,
    init: Path,
    limit: int,
    target: Path,
    refresh: bool,
) -> dict[str, Any]:
    """Write the environment into ``target``; return ``{changed, cached, kernel_release, unpacked_bytes}``."""
    before = _digests(target)
    cache.mkdir(parents=True, exist_ok=True)
    # Not below /tmp: it may be a memory file system, and the unpacked packages take 800 MiB.
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as name:
        scratch = Path(name)
        base = None if refresh else environment.cached_base(recipe, cache)
        cached = base is not None
        if base is None:
            base = environment.build_base(runner, recipe, cache, scratch)
        facts = environment.assemble(runner, base, engine, init, recipe.epoch, limit, target, scratch)
    return {"changed": _digests(target) != before, "cached": cached, **facts}


def make_payload(runner: Runner, order: PayloadOrder, *, cache: Path, target: Path, refresh: bool) -> dict[str, Any]:
    """Write the payload's archive into ``target``; return ``{changed, cached, payload}``."""
    if order.source is not None and not order.source.is_file():
        raise Fault(kinds.PAYLOAD_UNREADABLE, source=order.source, reason="there is no such file")
    name = f"rootfs{payload.SUFFIXES[order.compression]}"
    before = _digests(target)
    kept = cache / f"payload-{order.digest()[:32]}"
    cached = (kept / "facts.json").is_file() and not refresh
    if not cached:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as folder:
            _build_payload(runner, order, Path(folder), name)
            shutil.rmtree(kept, ignore_errors=True)
            (Path(folder) / "result").rename(kept)
    target.mkdir(parents=True, exist_ok=True)
    environment.place(kept / name, target / name)
    for other in target.glob("rootfs.tar*"):
        if other.name != name:
            other.unlink()
    facts = json.loads((kept / "facts.json").read_bytes())
    described = {"file": f"{target.name}/{name}", "compression": order.compression, **facts}
    return {"changed": _digests(target) != before, "cached": cached, "payload": described}


def make_manifest(
    runner: Runner,
    folder: Path,
    *,
    name: str,
    version: str,
    parts: Mapping[str, Mapping[str, Any]],
    layout: str,
    key: Path | None,
    certificate: Path,
    check_only: bool,
) -> bool:
    """Write ``manifest.json`` and its signature; return whether either changed.

    ``parts`` holds ``environment`` and ``payload``. Without ``key`` the bundle is left unsigned. Every layout
    is loaded first, so that a bundle never carries one that no host could use.
    """
    for path in sorted(folder.glob("layouts/*.json")):
        loader.load(json.loads(path.read_bytes()))
    manifest = write.describe(folder, name, version, parts["environment"], parts["payload"], layout)
    raw = write.serialise(manifest)
    path, signed = folder / "manifest.json", folder / SIGNATURE_NAME
    if check_only:
        return not path.is_file() or path.read_bytes() != raw
    changed = write.put(folder, raw)
    if key is None:
        if signed.exists():
            signed.unlink()
            changed = True
        return changed
    signature.check_key(key, folder)
    if changed or not _is_signed(runner, path, signed, certificate):
        signature.sign(runner, path, signed, key, certificate)
        signature.verify(runner, path, signed, [certificate])
        changed = True
    return changed


def _is_signed(runner: Runner, manifest: Path, signed: Path, certificate: Path) -> bool:
    try:
        signature.verify(runner, manifest, signed, [certificate])
    except Fault:
        return False
    return True


def _build_payload(runner: Runner, order: PayloadOrder, scratch: Path, name: str) -> None:
    root, result = scratch / "root", scratch / "result"
    result.mkdir()
    if order.source is None:
        payload.build_suite(runner, order.suite, root)
    elif payload.is_archive(runner, order.source):
        payload.unpack_archive(runner, order.source, root)
    else:
        image.export(runner, order.source, order.partition, root, scratch)
    payload.clean(root)
    facts = payload.inspect(root)
    unpacked, entries = payload.measure(root)
    payload.pack(runner, root, result / name, order.compression, order.level, order.epoch)
    facts.update(unpacked_bytes=unpacked, entries=entries)
    (result / "facts.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    shutil.rmtree(root, ignore_errors=True)


def _digests(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    return {path.name: hash_file(path) for path in sorted(folder.iterdir()) if path.is_file()}
