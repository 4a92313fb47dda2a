# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What openssl really accepts: a signature by exactly a given key over exactly these bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import signature
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")

RUNNER = CommandRunner()


class Builder:
    """Somebody with a key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key, self.certificate = folder / name / "builder.key", folder / name / "builder.pem"
        signature.make_key(RUNNER, self.key, self.certificate, name)

    def sign(self, manifest: Path, signed: Path) -> None:
        signature.sign(RUNNER, manifest, signed, self.key, self.certificate)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "bundle/manifest.json"
    path.parent.mkdir()
    path.write_text('{"format": 1}\n')
    return path


@pytest.fixture
def signed(manifest: Path) -> Path:
    return manifest.with_name("manifest.json.cms")


@pytest.fixture
def alice(tmp_path: Path) -> Builder:
    return Builder(tmp_path, "alice")


@pytest.fixture
def mallory(tmp_path: Path) -> Builder:
    return Builder(tmp_path, "mallory")


def refused(manifest: Path, signed: Path, *trusted: Path) -> str:
    with pytest.raises(Fault) as caught:
        signature.verify(RUNNER, manifest, signed, trusted)
    return caught.value.id


def test_the_right_key_is_accepted_and_named(manifest: Path, signed: Path, alice: Builder, mallory: Builder) -> None:
    alice.sign(manifest, signed)
    assert alice.key.stat().st_mode & 0o777 == 0o600
    assert signature.verify(RUNNER, manifest, signed, [alice.certificate]) == alice.certificate
    both = [mallory.certificate, alice.certificate]
    assert signature.verify(RUNNER, manifest, signed, both) == alice.certificate


def test_another_s_signature_is_refused(manifest: Path, signed: Path, alice: Builder, mallory: Builder) -> None:
    mallory.sign(manifest, signed)
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


@pytest.mark.parametrize("change", [b"x", b"\n", b"\r"])
def test_an_altered_manifest_is_refused(manifest: Path, signed: Path, alice: Builder, change: bytes) -> None:
    alice.sign(manifest, signed)
    manifest.write_bytes(manifest.read_bytes() + change)
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


def test_line_ends_count(manifest: Path, signed: Path, alice: Builder) -> None:
    alice.sign(manifest, signed)
    manifest.write_bytes(manifest.read_bytes().replace(b"\n", b"\r\n"))
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


def test_a_certificate_inside_of_the_signature_counts_for_nothing(
    manifest: Path, signed: Path, alice: Builder, mallory: Builder
) -> None:
    RUNNER.run(
        [
            *("openssl", "cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256"),
            *("-signer", str(mallory.certificate), "-inkey", str(mallory.key), "-certfile", str(alice.certificate)),
            *("-in", str(manifest), "-out", str(signed)),
        ]
    )
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


def test_a_forged_certificate_with_the_same_name_counts_for_nothing(
    manifest: Path, signed: Path, alice: Builder, tmp_path: Path
) -> None:
    forger = Builder(tmp_path / "elsewhere", "alice")
    forger.sign(manifest, signed)
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


def test_a_certificate_that_a_trusted_one_issued_is_not_trusted(
    manifest: Path, signed: Path, alice: Builder, tmp_path: Path
) -> None:
    key, request, certificate = tmp_path / "child.key", tmp_path / "child.csr", tmp_path / "child.pem"
    RUNNER.run(
        [
            *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=child", "-keyout", str(key), "-out", str(request)),
        ]
    )
    RUNNER.run(
        [
            *("openssl", "x509", "-req", "-in", str(request), "-CA", str(alice.certificate)),
            *("-CAkey", str(alice.key), "-CAcreateserial", "-days", "30", "-out", str(certificate)),
        ]
    )
    key.chmod(0o600)
    signature.sign(RUNNER, manifest, signed, key, certificate)
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


def test_an_expired_certificate_is_not_trusted(manifest: Path, signed: Path, tmp_path: Path) -> None:
    key, request, certificate = tmp_path / "old.key", tmp_path / "old.csr", tmp_path / "old.pem"
    argv = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    RUNNER.run([*argv, "-subj", "/CN=old", "-keyout", str(key), "-out", str(request)])
    self_signed = ["openssl", "x509", "-req", "-in", str(request), "-signkey", str(key)]
    RUNNER.run([*self_signed, "-days", "-1", "-out", str(certificate)])
    key.chmod(0o600)
    signature.sign(RUNNER, manifest, signed, key, certificate)
    assert refused(manifest, signed, certificate) == "bundle.trust_unusable"


@pytest.mark.parametrize("content", [b"", b"not a signature", b"0\x03\x02\x01\x01"])
def test_what_is_no_signature_is_refused(manifest: Path, signed: Path, alice: Builder, content: bytes) -> None:
    signed.write_bytes(content)
    wanted = "bundle.signature_wrong" if content else "bundle.unsigned"
    assert refused(manifest, signed, alice.certificate) == wanted


def test_a_signature_with_no_signer_is_refused(manifest: Path, signed: Path, alice: Builder) -> None:
    # A well-formed CMS message of type data: nothing in it is signed.
    RUNNER.run(["openssl", "cms", "-data_create", "-in", str(manifest), "-outform", "DER", "-out", str(signed)])
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


def test_a_signature_that_carries_its_own_content_is_refused(manifest: Path, signed: Path, alice: Builder) -> None:
    other = manifest.with_name("other.json")
    other.write_text("{}")
    RUNNER.run(
        [
            *("openssl", "cms", "-sign", "-binary", "-nodetach", "-nocerts", "-outform", "DER", "-md", "sha256"),
            *("-signer", str(alice.certificate), "-inkey", str(alice.key), "-in", str(other), "-out", str(signed)),
        ]
    )
    assert refused(manifest, signed, alice.certificate) == "bundle.signature_wrong"


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_a_trusted_key_that_is_none_is_named(manifest: Path, signed: Path, alice: Builder, content: str | None) -> None:
    alice.sign(manifest, signed)
    path = manifest.with_name("broken.pem")
    if content is not None:
        path.write_text(content)
    assert refused(manifest, signed, path, alice.certificate) == "bundle.trust_unusable"


def test_the_private_key_is_in_no_other_file(manifest: Path, signed: Path, alice: Builder) -> None:
    alice.sign(manifest, signed)
    secret = "".join(alice.key.read_text().splitlines()[1:-1])
    for path in (signed, alice.certificate, manifest):
        assert secret[:40].encode() not in path.read_bytes()
