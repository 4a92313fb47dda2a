# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof that travels with a run: manifest, signature, and the certificate that is trusted.

The controller checks the bundle, the host checks it again before the reboot, and stage two before the
first write. Each asks the same three questions: did the key that the plan names sign this manifest, is
it the manifest that the plan was made from, and does the plan name the files of that manifest.
The plan itself is what the controller's go names by its digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..faults import bundle as bundle_kinds
from ..faults import proof as kinds
from ..faults.fault import Fault
from ..plan.document import check_expiry
from ..runner import Runner
from . import signature
from .manifest import FILE_NAME, SIGNATURE_NAME, BundleFile, Manifest, load

#: The folder of the proof in the host's own part of the initramfs, below ``etc/dualroot``.
FOLDER = "proof"
SIGNER_NAME = "signer.pem"
NAMES = (FILE_NAME, SIGNATURE_NAME, SIGNER_NAME)
#: A manifest lists a handful of files; nothing larger is read.
MAX_BYTES = 1 << 20
#: Where ``openssl`` may be: the host's own, or the one that came with the bundled interpreter.
PROGRAMS = ("openssl", "/var/lib/dualroot/interpreter/openssl")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate in PEM, as ``openssl x509 -fingerprint -sha256`` has it, in small hex.

    Of a file with several certificates it is that of all of them. Empty where there is none.
    """
    blocks = _CERTIFICATE.findall(certificate.decode("ascii", "replace"))
    try:
        content = b"".join(base64.b64decode("".join(block.split()), validate=True) for block in blocks)
    except (binascii.Error, ValueError):
        return ""
    return hashlib.sha256(content).hexdigest() if content else ""


def pack(manifest: bytes, signed: bytes, certificate: bytes) -> dict[str, str]:
    """Return the proof as a document of texts (base64); without a signature the manifest alone travels."""
    content = dict(zip(NAMES, (manifest, signed, certificate) if certificate else (manifest,)))
    return {name: base64.b64encode(data).decode("ascii") for name, data in content.items()}


def unpack(document: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a packed proof; raises ``proof.incomplete``."""
    try:
        return {name: base64.b64decode(document[name], validate=True) for name in NAMES if document.get(name)}
    except (binascii.Error, ValueError, TypeError) as error:
        raise Fault(kinds.INCOMPLETE, file=FILE_NAME, problem="it is not base64") from error


def check_on_host(
    runner: Runner, document: Mapping[str, Any], plan: Mapping[str, Any], capture: Mapping[str, Any], now: float
) -> dict[str, bytes]:
    """Check the proof before the reboot; return its files by name, for the host's part of the initramfs.

    ``capture`` was read on this host, for this run; ``now`` is the host's clock.
    Uses the host's ``openssl`` where it has one that knows CMS, or else the one beside the bundled interpreter.
    Raises what ``check`` and ``check_machine`` raise, ``plan.expired``, and ``proof.no_openssl``.
    """
    check_expiry(plan, now)
    check_machine(plan, capture)
    # Not at the top: stage two has its files already and need not load it.
    import tempfile

    files = unpack(document)
    with tempfile.TemporaryDirectory(prefix="dualroot-") as scratch:
        for name, content in files.items():
            (Path(scratch) / name).write_bytes(content)
        check(runner, Path(scratch), plan, PROGRAMS)
    return files


def check(
    runner: Runner, folder: Path, plan: Mapping[str, Any], programs: Sequence[str] = (signature.PROGRAM,)
) -> None:
    """Check the proof in ``folder`` against the plan.

    Raises ``proof.incomplete``, ``proof.signer_other``, ``proof.signature_wrong``, ``proof.manifest_other``
    and ``proof.files_other``. A plan that names no signer was made with ``dualroot_allow_unsigned``; then the
    signature alone is not asked for.
    """
    raw = _read(folder, FILE_NAME)
    signer = plan["bundle"]["signed_by"]
    if signer:
        _check_signature(runner, folder, signer, programs)
    found = hashlib.sha256(raw).hexdigest()
    if found != plan["bundle"]["manifest_sha256"]:
        raise Fault(kinds.MANIFEST_OTHER, found=found, wanted=plan["bundle"]["manifest_sha256"])
    try:
        manifest = load(json.loads(raw))
    except (ValueError, RecursionError) as error:
        raise Fault(kinds.INCOMPLETE, file=FILE_NAME, problem="it is not JSON") from error
    problems = differences(plan, manifest)
    if problems:
        raise Fault(kinds.FILES_OTHER, problems="; ".join(problems))


def differences(plan: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """Return what the plan says otherwise than the manifest, each with its path in the plan."""
    found = [
        *_file_differences("environment.kernel", plan["environment"]["kernel"], manifest.environment.kernel),
        *_file_differences("environment.initrd", plan["environment"]["initrd"], manifest.environment.initrd),
    ]
    pairs = [
        ("bundle.name", plan["bundle"]["name"], manifest.name),
        ("bundle.version", plan["bundle"]["version"], manifest.version),
    ]
    # A restore brings the host's own archive: of the bundle it has the convert environment alone.
    if plan["mode"] != "restore":
        found = [*_file_differences("payload", plan["payload"], manifest.payload.file), *found]
        pairs += _payload_pairs(plan, manifest)
    return found + [f".{path}: {said!r}, not {wanted!r}" for path, said, wanted in pairs if said != wanted]


def _payload_pairs(plan: Mapping[str, Any], manifest: Manifest) -> list[tuple[str, Any, Any]]:
    return [
        ("payload.compression", plan["payload"]["compression"], manifest.payload.compression),
        ("payload.unpacked_bytes", plan["payload"]["unpacked_bytes"], manifest.payload.unpacked_bytes),
        ("renderer", plan["renderer"], manifest.payload.network_renderer),
    ]


def _file_differences(path: str, said: Mapping[str, Any], wanted: BundleFile) -> list[str]:
    pairs = (("file", wanted.file), ("sha256", wanted.sha256), ("size", wanted.size))
    return [f".{path}.{name}: {said[name]!r}, not {value!r}" for name, value in pairs if said[name] != value]


def check_machine(plan: Mapping[str, Any], capture: Mapping[str, Any]) -> None:
    """Raise ``proof.host_other`` where the plan was made for another machine than the capture was read on."""
    wanted, found = dict(plan["machine"]), machine(capture)
    if found != wanted:
        raise Fault(
            kinds.HOST_OTHER,
            wanted=f"{wanted['hostname']} ({wanted['id'][:12] or 'no machine id'})",
            found=f"{found['hostname']} ({found['id'][:12] or 'no machine id'})",
        )


def machine(capture: Mapping[str, Any]) -> dict[str, str]:
    """Return what a plan is bound to: host name, and the digest of the machine id.

    A machine id is not to be shown to others (machine-id(5)), and clones of one image may share it, so
    neither alone is enough.
    """
    identity = str(capture.get("machine_id") or "")
    digest = hashlib.sha256(b"dualroot.migrate " + identity.encode()).hexdigest() if identity else ""
    return {"hostname": str(capture.get("hostname") or ""), "id": digest}


def _check_signature(runner: Runner, folder: Path, signer: str, programs: Sequence[str]) -> None:
    found = fingerprint(_read(folder, SIGNER_NAME))
    if found != signer:
        raise Fault(kinds.SIGNER_OTHER, found=found or "none", wanted=signer)
    _read(folder, SIGNATURE_NAME)
    program = _openssl(runner, programs)
    try:
        signature.verify(runner, folder / FILE_NAME, folder / SIGNATURE_NAME, [folder / SIGNER_NAME], program)
    except Fault as fault:
        if fault.kind not in (bundle_kinds.SIGNATURE_WRONG, bundle_kinds.TRUST_UNUSABLE):
            raise
        raise Fault(kinds.SIGNATURE_WRONG, reason=fault.particulars["reason"]) from fault


def _openssl(runner: Runner, programs: Sequence[str]) -> str:
    """Return the first openssl that runs and knows CMS, which came with 1.0.0."""
    said = "there is none"
    for program in programs:
        try:
            said = runner.run([program, "version"]).text.strip()
        except Fault:
            continue
        if not said.startswith(("OpenSSL 0.", "LibreSSL 2.", "LibreSSL 3.0")):
            return program
    raise Fault(kinds.NO_OPENSSL, problem=said)


def _read(folder: Path, name: str) -> bytes:
    try:
        with (folder / name).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Fault(kinds.INCOMPLETE, file=name, problem=error.strerror or "it cannot be read") from error
    if not content or len(content) > MAX_BYTES:
        raise Fault(kinds.INCOMPLETE, file=name, problem="it is far too large" if content else "it is empty")
    return content
