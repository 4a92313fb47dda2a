# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is this bundle whole, and from somebody who is trusted? Asked before any host is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..runner import Runner
from ..shape import parse
from . import proof, signature
from .manifest import (
    FILE_NAME,
    SIGNATURE_NAME,
    BundleFile,
    Manifest,
    check_digest,
    check_file,
    check_size,
    hash_file,
    layout_file,
    load,
)
from .source import Source


@dataclass(frozen=True)
class Checked:
    """A bundle that may be used.

    ``document`` is the manifest as it was signed, ``signed_by`` the trusted certificate, or empty where
    unsigned bundles are allowed; ``fingerprint`` is that certificate's. ``modaliases`` and ``interpreter`` are
    files on this machine. ``proof`` is what travels with a run, see ``proof.pack``.
    """

    manifest: Manifest
    document: dict[str, Any]
    manifest_sha256: str
    signed_by: str
    modaliases: Path
    interpreter: Path
    fingerprint: str
    proof: dict[str, str]


def check(
    runner: Runner, source: Source, trusted: Sequence[Path], allow_unsigned: bool, cache: Path, scratch: Path
) -> Checked:
    """Check signature, sizes and digests.

    In a folder the digest of every file is taken. Behind an address the large files are asked only for their
    sizes; what a host pulls is checked there, against the same manifest. ``scratch`` is an empty folder.
    Raises the ``bundle.*`` faults of phase preflight.
    """
    raw = _required(source, FILE_NAME)
    signed, signed_by = _check_signature(runner, source, raw, trusted, allow_unsigned, scratch)
    certificate = Path(signed_by).read_bytes() if signed_by else b""
    fingerprint = proof.fingerprint(certificate)
    if signed_by and not fingerprint:
        # Without one the plan would pass for unsigned.
        raise Fault(kinds.TRUST_UNUSABLE, file=signed_by, reason="it has no block BEGIN CERTIFICATE")
    try:
        document = parse(raw)
    except ValueError as error:
        raise Fault(kinds.MANIFEST_INVALID, problems=f"it is not JSON ({error})") from error
    manifest = load(document)
    total = hashlib.sha256(raw).hexdigest()
    brought = cache / total
    environment = manifest.environment
    for entry in manifest.files():
        if source.folder is not None:
            check_file(source.folder, entry)
        else:
            _check_remote_size(source, entry)
    return Checked(
        manifest,
        document,
        total,
        signed_by,
        _bring(source, environment.modaliases, brought),
        _bring(source, environment.interpreter, brought),
        fingerprint,
        proof.pack(raw, signed, certificate),
    )


def read_layout(source: Source, manifest: Manifest, name: str) -> Any:
    """Return the document of a layout of the bundle, checked against the manifest."""
    entry = layout_file(manifest, name)
    raw = _required(source, entry.file)
    check_size(entry, len(raw))
    check_digest(entry, hashlib.sha256(raw).hexdigest())
    try:
        return parse(raw)
    except ValueError as error:
        raise Fault(kinds.LAYOUT_UNREADABLE, file=entry.file, reason=str(error)) from error


def _required(source: Source, name: str) -> bytes:
    raw = source.read(name)
    if raw is None:
        raise Fault(kinds.FILE_MISSING, bundle=source, file=name)
    return raw


def _check_signature(
    runner: Runner, source: Source, raw: bytes, trusted: Sequence[Path], allow_unsigned: bool, scratch: Path
) -> tuple[bytes, str]:
    """Return the signature and the certificate that made it, both empty where none is asked for.

    The very bytes are checked that are parsed afterwards, in a place where nobody else writes.
    """
    signed = source.read(SIGNATURE_NAME)
    if allow_unsigned and (not signed or not trusted):
        return b"", ""
    if not trusted:
        raise Fault(kinds.TRUST_MISSING)
    if not signed:
        raise Fault(kinds.UNSIGNED, bundle=source)
    manifest = scratch / FILE_NAME
    manifest.write_bytes(raw)
    (scratch / SIGNATURE_NAME).write_bytes(signed)
    return signed, str(signature.verify(runner, manifest, scratch / SIGNATURE_NAME, trusted))


def _check_remote_size(source: Source, entry: BundleFile) -> None:
    size = source.size(entry.file)
    if size is None:
        raise Fault(kinds.FILE_MISSING, bundle=source, file=entry.file)
    check_size(entry, size)


def _bring(source: Source, entry: BundleFile, cache: Path) -> Path:
    if source.folder is not None:
        return source.folder / entry.file
    path = cache / entry.file
    if not path.is_file() or path.stat().st_size != entry.size or hash_file(path) != entry.sha256:
        path = source.fetch(entry.file, cache)
        check_size(entry, path.stat().st_size)
        check_digest(entry, hash_file(path))
    return path
