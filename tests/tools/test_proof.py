# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof that travels with a run, with signatures of a real openssl: each swap and change has its fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import check, proof, signature, source
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.plan import document
from ansible_collections.dualroot.migrate.plugins.module_utils.plan.judge import judge
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.unit.bundle import bundles
from tests.unit.plan import documents as docs

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")

RUNNER = CommandRunner()
CAPTURE = {**docs.capture(), "machine_id": "5f1b2c3d4e5f60718293a4b5c6d7e8f9"}
NOW = docs.options()["now"] + 60.0


class Run:
    """A signed bundle, the plan made from it, and the proof in a folder, as stage two has it."""

    def __init__(self, folder: Path, name: str = "one") -> None:
        self.bundle = bundles.make(folder / name)
        self.key, self.certificate = folder / f"{name}.key", folder / f"{name}.pem"
        signature.make_key(RUNNER, self.key, self.certificate, name)
        self.sign()
        checked = self.check([self.certificate])
        self.packed = checked.proof
        self.plan = self.make_plan(checked)
        self.folder = folder / f"{name}-proof"
        self.folder.mkdir()
        for file, content in proof.unpack(self.packed).items():
            (self.folder / file).write_bytes(content)

    def sign(self) -> None:
        signature.sign(
            RUNNER, self.bundle / "manifest.json", self.bundle / "manifest.json.cms", self.key, self.certificate
        )

    def check(self, trusted: list[Path], allow_unsigned: bool = False) -> check.Checked:
        scratch = self.bundle.with_name("scratch")
        scratch.mkdir(exist_ok=True)
        return check.check(RUNNER, source.open_source(str(self.bundle)), trusted, allow_unsigned, scratch, scratch)

    def make_plan(self, checked: check.Checked, **changes: Any) -> dict[str, Any]:
        options = docs.options(
            manifest_sha256=checked.manifest_sha256, signed_by=checked.fingerprint, lifeboat="none", **changes
        )
        manifest = {**docs.manifest(), **checked.document}
        judged = judge(docs.facts(), manifest, docs.layout(), options, capture=CAPTURE, modaliases=docs.MODALIASES)
        assert judged["plan"] is not None, judged["findings"]
        return dict(judged["plan"])

    def fault(self, plan: dict[str, Any] | None = None) -> Fault:
        with pytest.raises(Fault) as caught:
            proof.check(RUNNER, self.folder, plan or self.plan)
        return caught.value


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def refrozen(plan: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    changed = json.loads(json.dumps({name: value for name, value in plan.items() if name != "digest"}))
    change(changed)
    return document.freeze(changed)


def test_the_whole_road_is_accepted(run: Run) -> None:
    proof.check(RUNNER, run.folder, run.plan)
    proof.check_machine(run.plan, CAPTURE)
    assert sorted(proof.check_on_host(RUNNER, run.packed, run.plan, CAPTURE, NOW)) == sorted(proof.NAMES)


def test_the_fingerprint_is_openssl_s(run: Run) -> None:
    said = RUNNER.run(["openssl", "x509", "-in", str(run.certificate), "-noout", "-fingerprint", "-sha256"]).text
    assert said.strip().rpartition("=")[2].replace(":", "").lower() == run.plan["bundle"]["signed_by"]


def test_a_valid_signature_of_another_bundle_is_refused(run: Run, tmp_path: Path) -> None:
    """The same builder, another bundle: manifest and signature fit each other and are not the plan's."""
    other = json.loads((run.bundle / "manifest.json").read_bytes())
    other["version"] = "2"
    (run.bundle / "manifest.json").write_text(json.dumps(other))
    run.sign()
    for name in ("manifest.json", "manifest.json.cms"):
        shutil.copy(run.bundle / name, run.folder / name)
    signature.verify(RUNNER, run.folder / "manifest.json", run.folder / "manifest.json.cms", [run.certificate])
    fault = run.fault()
    assert fault.id == "proof.manifest_other"
    assert run.plan["bundle"]["manifest_sha256"] in fault.what


def test_a_swapped_manifest_is_refused(run: Run) -> None:
    (run.folder / "manifest.json").write_bytes((run.folder / "manifest.json").read_bytes() + b"\n")
    assert run.fault().id == "proof.signature_wrong"


def test_another_s_certificate_that_came_along_is_refused(run: Run, tmp_path: Path) -> None:
    mallory = Run(tmp_path, "mallory")
    for name in proof.NAMES:
        shutil.copy(mallory.folder / name, run.folder / name)
    assert run.fault().id == "proof.signer_other"
    # With the right certificate beside it, the other's signature is seen for what it is.
    shutil.copy(run.certificate, run.folder / "signer.pem")
    assert run.fault().id == "proof.signature_wrong"


def test_a_certificate_beside_the_trusted_one_is_refused(run: Run, tmp_path: Path) -> None:
    mallory = Run(tmp_path, "mallory")
    both = (run.folder / "signer.pem").read_bytes() + mallory.certificate.read_bytes()
    (run.folder / "signer.pem").write_bytes(both)
    assert run.fault().id == "proof.signer_other"


@pytest.mark.parametrize("name", proof.NAMES)
@pytest.mark.parametrize("content", [None, b"", b"\0" * (proof.MAX_BYTES + 1)], ids=["missing", "empty", "huge"])
def test_each_file_is_needed(run: Run, name: str, content: bytes | None) -> None:
    if content is None:
        (run.folder / name).unlink()
    else:
        (run.folder / name).write_bytes(content)
    assert run.fault().id in ("proof.incomplete", "proof.signature_wrong", "proof.signer_other")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda plan: plan["payload"].update(sha256="0" * 64), ".payload.sha256"),
        (lambda plan: plan["payload"].update(size=1), ".payload.size"),
        (lambda plan: plan["payload"].update(file="payload/other.tar.zst"), ".payload.file"),
        (lambda plan: plan["payload"].update(compression="xz"), ".payload.compression"),
        (lambda plan: plan["environment"]["kernel"].update(sha256="0" * 64), ".environment.kernel.sha256"),
        (lambda plan: plan["environment"]["initrd"].update(sha256="0" * 64), ".environment.initrd.sha256"),
        (lambda plan: plan["bundle"].update(version="9"), ".bundle.version"),
    ],
)
def test_a_plan_that_names_other_files_than_were_signed_is_refused(run: Run, change: Any, path: str) -> None:
    fault = run.fault(refrozen(run.plan, change))
    assert fault.id == "proof.files_other"
    assert path in fault.what


def test_a_plan_of_another_machine_is_refused(run: Run) -> None:
    for other in ({"hostname": "gate2"}, {"machine_id": "0" * 32}, {"machine_id": ""}):
        with pytest.raises(Fault) as caught:
            proof.check_on_host(RUNNER, run.packed, run.plan, {**CAPTURE, **other}, NOW)
        assert caught.value.id == "proof.host_other"
        assert CAPTURE["machine_id"] not in str(caught.value.record())


@pytest.mark.parametrize("days", [-2, 2])
def test_an_expired_plan_is_refused(run: Run, days: int) -> None:
    with pytest.raises(Fault) as caught:
        proof.check_on_host(RUNNER, run.packed, run.plan, CAPTURE, NOW + days * 86400)
    assert caught.value.id == "plan.expired"


def test_a_host_without_openssl_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PROGRAMS", ("openssl-that-is-not-there", "/nowhere/openssl"))
    with pytest.raises(Fault) as caught:
        proof.check_on_host(RUNNER, run.packed, run.plan, CAPTURE, NOW)
    assert caught.value.id == "proof.no_openssl"


def test_the_bundled_openssl_stands_in(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho OpenSSL 0.9.8zh 3 Dec 2015\n")
    old.chmod(0o755)
    monkeypatch.setattr(proof, "PROGRAMS", (str(old), shutil.which("openssl")))
    proof.check_on_host(RUNNER, run.packed, run.plan, CAPTURE, NOW)


def test_an_unsigned_bundle_is_still_bound_to_its_plan(run: Run, tmp_path: Path) -> None:
    (run.bundle / "manifest.json.cms").unlink()
    checked = run.check([], allow_unsigned=True)
    plan = run.make_plan(checked)
    assert plan["bundle"]["signed_by"] == ""
    assert list(proof.check_on_host(RUNNER, checked.proof, plan, CAPTURE, NOW)) == ["manifest.json"]
    with pytest.raises(Fault) as caught:
        proof.check_on_host(RUNNER, proof.pack(b"{}", b"", b""), plan, CAPTURE, NOW)
    assert caught.value.id == "proof.manifest_other"


def test_a_signed_plan_does_not_pass_for_unsigned(run: Run) -> None:
    for packed in ({}, {"manifest.json": run.packed["manifest.json"]}, {**run.packed, "manifest.json.cms": "%"}):
        with pytest.raises(Fault) as caught:
            proof.check_on_host(RUNNER, packed, run.plan, CAPTURE, NOW)
        assert caught.value.id == "proof.incomplete"
