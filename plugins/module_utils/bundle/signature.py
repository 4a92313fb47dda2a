# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Signatures of manifests: detached CMS in DER, made and checked by ``openssl cms``.

Trust is exactly the certificates that the operator names. Chains, the system's authorities and
certificates that travel inside the signature mean nothing here (openssl-cms(1): ``-nointern`` looks for
the signer only among those given with ``-certfile``, ``-noverify`` does not build a chain).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ..faults import bundle as kinds
from ..faults.fault import Fault
from ..runner import Runner

#: A signature is small; anything larger is not one.
MAX_SIGNATURE = 64 << 10
PROGRAM = "openssl"


def verify(runner: Runner, manifest: Path, signature: Path, trusted: Sequence[Path], program: str = PROGRAM) -> Path:
    """Return the trusted certificate whose key signed the manifest; ``program`` is the openssl to use.

    Raises ``bundle.trust_missing``, ``bundle.trust_unusable`` for a certificate that is unreadable or has
    expired, ``bundle.unsigned`` and ``bundle.signature_wrong``.
    """
    if not trusted:
        raise Fault(kinds.TRUST_MISSING)
    if not signature.is_file() or signature.stat().st_size == 0:
        raise Fault(kinds.UNSIGNED, bundle=manifest.parent)
    for certificate in trusted:
        check_certificate(runner, certificate, program)
    if signature.stat().st_size > MAX_SIGNATURE:
        raise Fault(kinds.SIGNATURE_WRONG, bundle=manifest.parent, reason="the signature file is far too large")
    reason = ""
    for certificate in trusted:
        done = runner.run(verify_argv(manifest, signature, certificate, program), accept=range(256))
        if done.returncode == 0:
            return certificate
        reason = _last_reason(done.error_text)
    raise Fault(kinds.SIGNATURE_WRONG, bundle=manifest.parent, reason=reason)


def verify_argv(manifest: Path, signature: Path, certificate: Path, program: str = PROGRAM) -> list[str]:
    """Return the command that accepts only a signature of ``certificate``'s key over ``manifest``."""
    return [
        program,
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        str(signature),
        "-content",
        str(manifest),
        "-certfile",
        str(certificate),
        "-nointern",
        "-noverify",
        "-out",
        "/dev/null",
    ]


def check_certificate(runner: Runner, certificate: Path, program: str = PROGRAM) -> None:
    """Raise ``bundle.trust_unusable`` unless the file is a PEM certificate that is valid now."""
    if not certificate.is_file():
        raise Fault(kinds.TRUST_UNUSABLE, file=certificate, reason="there is no such file")
    shown = runner.run([program, "x509", "-in", str(certificate), "-noout"], accept=range(256))
    if shown.returncode:
        raise Fault(kinds.TRUST_UNUSABLE, file=certificate, reason="it holds no certificate in PEM format")
    valid = runner.run([program, "x509", "-in", str(certificate), "-noout", "-checkend", "0"], accept=range(256))
    if valid.returncode:
        raise Fault(kinds.TRUST_UNUSABLE, file=certificate, reason="the certificate has expired")


def sign(runner: Runner, manifest: Path, signature: Path, key: Path, certificate: Path) -> None:
    """Write the detached signature of the manifest; it carries no certificate."""
    check_key(key, manifest.parent)
    draft = signature.with_name(f".{signature.name}.{os.getpid()}")
    runner.run(
        [
            "openssl",
            "cms",
            "-sign",
            "-binary",
            "-nocerts",
            "-md",
            "sha256",
            "-outform",
            "DER",
            "-signer",
            str(certificate),
            "-inkey",
            str(key),
            "-in",
            str(manifest),
            "-out",
            str(draft),
        ]
    )
    draft.chmod(0o644)
    draft.replace(signature)


def make_key(runner: Runner, key: Path, certificate: Path, subject: str) -> None:
    """Make a P-256 key (mode 0600) and its self-signed certificate, valid for ten years."""
    key.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # The file exists with its mode before openssl writes into it, so that others can never read it.
    os.close(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        runner.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "3650",
                "-subj",
                f"/CN={subject}",
                "-keyout",
                str(key),
                "-out",
                str(certificate),
            ]
        )
    except Fault:
        key.unlink()
        raise
    certificate.chmod(0o644)


def check_key(key: Path, folder: Path) -> None:
    """Raise ``bundle.key_exposed`` for a key that others can read or that lies in the bundle."""
    if not key.is_file():
        raise Fault(kinds.KEY_EXPOSED, key=key, problem="is no file")
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise Fault(kinds.KEY_EXPOSED, key=key, problem="can be read by other users")
    if folder.resolve() in key.resolve().parents:
        raise Fault(kinds.KEY_EXPOSED, key=key, problem="lies inside the bundle, which is handed out")


def _last_reason(text: str) -> str:
    """Return the reason in openssl's last error record.

    A record is ``id:error:code:library:function:reason:file:line:data`` (ERR_print_errors(3)).
    """
    lines = [line for line in text.splitlines() if ":error:" in line]
    if not lines:
        return text.strip()[-200:] or "no reason given"
    fields = lines[-1].split(":")
    return fields[5] if len(fields) > 5 and fields[5] else lines[-1]
