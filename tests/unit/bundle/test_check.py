# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import check, proof, signature, source
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support.fake_runner import FakeRunner
from tests.support.guarded_server import HEADER, SECRETS, UNUSABLE, guarded

from . import bundles

NOBODY = FakeRunner()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bundles.make(tmp_path / "bundle")


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_unused: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def run(bundle: str | Path, tmp_path: Path, **options: Any) -> check.Checked:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    given = {"trusted": [], "allow_unsigned": True, **options}
    return check.check(
        options.pop("runner", NOBODY),
        source.open_source(str(bundle)),
        given["trusted"],
        given["allow_unsigned"],
        tmp_path / "cache",
        scratch,
    )


def fault_of(bundle: str | Path, tmp_path: Path, **options: Any) -> Fault:
    with pytest.raises(Fault) as caught:
        run(bundle, tmp_path, **options)
    return caught.value


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_a_whole_bundle_is_accepted(folder: Path, tmp_path: Path) -> None:
    checked = run(folder, tmp_path)
    assert checked.document == json.loads((folder / "manifest.json").read_bytes())
    assert checked.modaliases == folder / "environment/modaliases.json"
    assert checked.signed_by == ""
    origin = source.open_source(str(folder))
    assert check.read_layout(origin, checked.manifest, "tiny") == bundles.LAYOUT


def test_an_unsigned_bundle_needs_permission(folder: Path, tmp_path: Path) -> None:
    assert fault_of(folder, tmp_path, allow_unsigned=False).id == "bundle.trust_missing"
    trusted = [tmp_path / "builder.pem"]
    assert fault_of(folder, tmp_path, trusted=trusted, allow_unsigned=False).id == "bundle.unsigned"
    assert run(folder, tmp_path, trusted=trusted).signed_by == ""


def test_a_signature_that_is_there_counts_even_when_none_is_demanded(folder: Path, tmp_path: Path) -> None:
    certificate = tmp_path / "builder.pem"
    certificate.write_text("-----BEGIN CERTIFICATE-----\nY2VydA==\n-----END CERTIFICATE-----\n")
    (folder / "manifest.json.cms").write_bytes(b"signature")
    scratch = tmp_path / "scratch"
    openssl = ["openssl", "x509", "-in", str(certificate), "-noout"]
    answers: dict[tuple[str, ...], Any] = {tuple(openssl): None, (*openssl, "-checkend", "0"): None}
    argv = signature.verify_argv(scratch / "manifest.json", scratch / "manifest.json.cms", certificate)

    def refuse(_argv: Any, _stdin: Any) -> Any:
        # The bytes that openssl is given are a private copy of those that are parsed.
        assert (scratch / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()
        raise Fault(signature.kinds.SIGNATURE_WRONG, bundle=folder, reason="test")

    runner = FakeRunner({**answers, tuple(argv): refuse})
    assert fault_of(folder, tmp_path, trusted=[certificate], runner=runner).id == "bundle.signature_wrong"
    accepted = run(folder, tmp_path, trusted=[certificate], runner=FakeRunner({**answers, tuple(argv): None}))
    assert accepted.signed_by == str(certificate)


def test_a_manifest_that_is_no_json_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "manifest.json").write_bytes(b"{")
    assert fault_of(folder, tmp_path).id == "bundle.manifest_invalid"


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "absent", tmp_path).id == "bundle.unreachable"
    (tmp_path / "empty").mkdir()
    assert fault_of(tmp_path / "empty", tmp_path).id == "bundle.file_missing"


def test_a_layout_changed_after_the_build_is_refused(folder: Path, tmp_path: Path) -> None:
    checked = run(folder, tmp_path)
    flip(folder / "layouts/tiny.json")
    with pytest.raises(Fault) as caught:
        check.read_layout(source.open_source(str(folder)), checked.manifest, "tiny")
    assert caught.value.id == "bundle.altered"


def test_behind_an_address_small_files_are_brought_and_checked(address: str, folder: Path, tmp_path: Path) -> None:
    checked = run(address, tmp_path)
    assert checked.modaliases.read_bytes() == (folder / "environment/modaliases.json").read_bytes()
    assert checked.interpreter.is_relative_to(tmp_path / "cache")
    origin = source.open_source(address)
    assert not origin.url.endswith("/")
    assert check.read_layout(origin, checked.manifest, "other")["name"] == "other"


def test_behind_an_address_a_flipped_bit_of_a_small_file_is_found(address: str, folder: Path, tmp_path: Path) -> None:
    flip(folder / "environment/modaliases.json")
    assert fault_of(address, tmp_path).id == "bundle.altered"


def test_behind_an_address_a_large_file_cut_off_is_found(address: str, folder: Path, tmp_path: Path) -> None:
    (folder / "payload/rootfs.tar.zst").write_bytes(b"short")
    assert fault_of(address, tmp_path).id == "bundle.truncated"
    (folder / "payload/rootfs.tar.zst").unlink()
    assert fault_of(address, tmp_path).id == "bundle.file_missing"


def test_an_address_where_nobody_answers(tmp_path: Path) -> None:
    assert fault_of("http://127.0.0.1:9/", tmp_path).id == "bundle.unreachable"


def test_an_address_may_have_a_query(address: str, folder: Path, tmp_path: Path) -> None:
    assert run(f"{address}?token=7", tmp_path).document == json.loads((folder / "manifest.json").read_bytes())


def test_a_login_goes_to_the_server_of_the_address_alone(folder: Path, tmp_path: Path) -> None:
    with guarded(folder) as server:
        server.away.update(["environment/modaliases.json", "payload/rootfs.tar.zst"])
        checked = run(server.address, tmp_path)
        assert checked.modaliases.read_bytes() == (folder / "environment/modaliases.json").read_bytes()
        assert (server.headers, server.elsewhere.headers) == ({HEADER}, {None})
        origin = source.open_source(server.address)
        assert origin.read("manifest.json") == (folder / "manifest.json").read_bytes()
        assert (origin.read("absent"), origin.size("absent")) == (None, None)
        assert "p%40ss" not in str(origin)


def test_no_fault_has_the_login(folder: Path, tmp_path: Path) -> None:
    with guarded(folder) as server:
        trusted = [tmp_path / "builder.pem"]
        faults = [fault_of(server.address, tmp_path, trusted=trusted, allow_unsigned=False)]
        faults.append(fault_of(server.address.replace("p%40ss", "hunter2"), tmp_path))
        (folder / "payload/rootfs.tar.zst").unlink()
        faults.append(fault_of(server.address, tmp_path))
        (folder / "environment/modaliases.json").unlink()
        with pytest.raises(Fault) as caught:
            source.open_source(server.address).fetch("environment/modaliases.json", tmp_path / "cache")
        faults.append(caught.value)
        (folder / "manifest.json").unlink()
        faults.append(fault_of(server.address, tmp_path))
    wanted = ["bundle.unsigned", "bundle.unreachable", *["bundle.file_missing"] * 3]
    assert [fault.id for fault in faults] == wanted
    assert "The server answers 401" in faults[1].record()["why"]
    for fault in faults:
        texts = f"{fault} {fault.record()}"
        assert f"http://127.0.0.1:{server.port}/gw" in texts
        assert not [one for one in ("p%40ss", "p@ss", "hunter2", "deploy") if one in texts]


@pytest.mark.parametrize("address", [*UNUSABLE, "ftp://deploy:hunter2@127.0.0.1/gw"])
def test_no_fault_has_the_login_of_an_address_that_leads_nowhere(address: str, tmp_path: Path) -> None:
    fault = fault_of(address, tmp_path)
    assert fault.id == "bundle.unreachable"
    assert not [one for one in SECRETS if one in f"{fault} {fault.record()}"]


def test_a_connection_that_breaks_ends_in_a_fault(folder: Path, tmp_path: Path) -> None:
    """By chunks, an end that comes early is an error of ``http.client`` and none of the system."""

    class Breaking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ff\r\nshort")
            self.close_connection = True

        def log_message(self, *_unused: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = source.open_source(f"http://me:hunter2@127.0.0.1:{server.server_port}/gw")
        for ask in (lambda: origin.read("a"), lambda: origin.fetch("a", tmp_path)):
            with pytest.raises(Fault, match="unreachable") as caught:
                ask()
            assert "connection broke" in caught.value.record()["why"]
        server.shutdown()


def test_what_travels_is_what_was_checked(folder: Path, tmp_path: Path) -> None:
    checked = run(folder, tmp_path, allow_unsigned=True)
    assert (checked.fingerprint, list(checked.proof)) == ("", ["manifest.json"])
    assert proof.unpack(checked.proof)["manifest.json"] == (folder / "manifest.json").read_bytes()
