# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import signature
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import Result

from tests.support.fake_runner import FakeRunner


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "keys/builder.key"
    path.parent.mkdir()
    path.write_text("key")
    path.chmod(0o600)
    return path


def test_signing_is_one_command_that_puts_no_certificate_into_the_signature(tmp_path: Path, key: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    seen = []

    def sign(argv: tuple[str, ...], _stdin: bytes | None) -> Result:
        seen.append(tuple(argv))
        Path(argv[-1]).write_bytes(b"signature")
        return Result(tuple(argv), 0)

    target = bundle / "manifest.json.cms"
    signature.sign(FakeRunner(handler=sign), bundle / "manifest.json", target, key, tmp_path / "builder.pem")
    assert target.read_bytes() == b"signature"
    assert [path.name for path in bundle.iterdir()] == ["manifest.json.cms"]
    (argv,) = seen
    assert argv[:-1] == (
        *("openssl", "cms", "-sign", "-binary", "-nocerts", "-md", "sha256", "-outform", "DER"),
        *("-signer", str(tmp_path / "builder.pem"), "-inkey", str(key)),
        *("-in", str(bundle / "manifest.json"), "-out"),
    )


def test_a_key_that_others_can_read_does_not_sign(tmp_path: Path, key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(Fault) as caught:
        signature.check_key(key, tmp_path / "bundle")
    assert caught.value.id == "bundle.key_exposed"


def test_a_key_inside_of_the_bundle_does_not_sign(tmp_path: Path, key: Path) -> None:
    with pytest.raises(Fault, match="lies inside the bundle"):
        signature.check_key(key, tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/link").symlink_to(key.parent)
    signature.check_key(tmp_path / "bundle/link/builder.key", tmp_path / "bundle")


def test_a_key_is_private_before_anything_is_written_into_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "new/builder.key", tmp_path / "new/builder.pem"

    def make(argv: tuple[str, ...], _stdin: bytes | None) -> Result:
        assert key.stat().st_mode & 0o777 == 0o600
        assert argv[:3] == ("openssl", "req", "-x509") or list(argv[:3]) == ["openssl", "req", "-x509"]
        certificate.write_text("certificate")
        return Result(tuple(argv), 0)

    signature.make_key(FakeRunner(handler=make), key, certificate, "somebody")
    assert key.parent.stat().st_mode & 0o777 == 0o700


def test_a_key_is_never_overwritten(key: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        signature.make_key(FakeRunner(), key, tmp_path / "builder.pem", "somebody")
    assert key.read_text() == "key"


def test_a_signature_far_too_large_is_refused_before_openssl_reads_it(tmp_path: Path) -> None:
    certificate, signed = tmp_path / "a.pem", tmp_path / "manifest.json.cms"
    certificate.write_text("x")
    signed.write_bytes(b"0" * (signature.MAX_SIGNATURE + 1))
    x509 = ("openssl", "x509", "-in", str(certificate), "-noout")
    runner = FakeRunner({x509: None, (*x509, "-checkend", "0"): None})
    with pytest.raises(Fault) as caught:
        signature.verify(runner, tmp_path / "manifest.json", signed, [certificate])
    assert caught.value.id == "bundle.signature_wrong"
