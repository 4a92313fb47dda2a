# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of the fault matrix on the payload, with real tools: each is refused by whoever meets it first."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.restore import Order, restore
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import check, signature, source
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle.manifest import hash_file
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from tests.support import matrix
from tests.unit.bundle import bundles

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None or shutil.which("zstd") is None, reason="needs tools")

RUNNER = CommandRunner()
MIB = 1 << 20
PAYLOAD = "payload/rootfs.tar.zst"


def signed_bundle(folder: Path, key: Path, certificate: Path) -> Path:
    bundles.make(folder)
    signature.sign(RUNNER, folder / "manifest.json", folder / "manifest.json.cms", key, certificate)
    return folder


def _flip(bundle: Path, _other: Path) -> None:
    data = bytearray((bundle / PAYLOAD).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / PAYLOAD).write_bytes(data)


def _cut(bundle: Path, _other: Path) -> None:
    data = (bundle / PAYLOAD).read_bytes()
    (bundle / PAYLOAD).write_bytes(data[:-1])


def _longer(bundle: Path, _other: Path) -> None:
    with (bundle / PAYLOAD).open("ab") as file:
        file.write(b"\0")


def _signature_of_another(bundle: Path, other: Path) -> None:
    shutil.copyfile(other / "manifest.json.cms", bundle / "manifest.json.cms")


@pytest.mark.parametrize(
    ("row", "change", "fault"),
    [
        ("one bit", _flip, "bundle.altered"),
        ("truncated", _cut, "bundle.truncated"),
        ("wrong size", _longer, "bundle.truncated"),
        ("valid signature of another bundle", _signature_of_another, "bundle.signature_wrong"),
    ],
)
def test_the_controller_refuses(tmp_path: Path, row: str, change: Callable[[Path, Path], None], fault: str) -> None:
    key, certificate = tmp_path / "builder.key", tmp_path / "builder.pem"
    signature.make_key(RUNNER, key, certificate, "builder")
    bundle = signed_bundle(tmp_path / "bundle", key, certificate)
    other = bundles.make(tmp_path / "other")
    manifest = other / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"version": "1"', b'"version": "2"'))
    signature.sign(RUNNER, manifest, other / "manifest.json.cms", key, certificate)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    change(bundle, other)
    proof = [path.name for path, content in before.items() if path.read_bytes() != content]
    assert proof
    (tmp_path / "scratch").mkdir()
    with pytest.raises(Fault) as caught:
        check.check(
            RUNNER, source.open_source(str(bundle)), [certificate], False, tmp_path / "cache", tmp_path / "scratch"
        )
    assert caught.value.id == fault
    matrix.record(f"payload: {row}", "REFUSED", f"{proof[0]} differs from what was signed", "real tools", fault)


def test_a_decompression_bomb_is_stopped_long_before_the_disk_is_full(tmp_path: Path) -> None:
    """In stage two this is the step restore, which holds: reachable, with this fault."""
    bomb = tmp_path / "rootfs.tar.zst"
    command = f"truncate -s 400M {tmp_path}/zeros && tar -C {tmp_path} --format=gnu -c zeros | zstd -q -o {bomb}"
    subprocess.run(["sh", "-c", command], check=True)
    (tmp_path / "zeros").unlink()
    assert bomb.stat().st_size < MIB
    target = tmp_path / "target"
    target.mkdir()
    order = Order(source=bomb, target=target, sha256=hash_file(bomb), unpacked_bytes=10 * MIB)
    with pytest.raises(Fault) as caught:
        restore(RUNNER, order, lambda _done, _total: None)
    assert caught.value.id == "archive.too_large"
    written = sum(path.stat().st_blocks * 512 for path in target.rglob("*") if path.is_file())
    assert written < 100 * MIB
    proof = f"{bomb.stat().st_size} bytes that unpack to 400 MiB, 10 MiB promised"
    matrix.record(
        "payload: decompression bomb", "RESCUE", proof, "real tools, the step restore alone", "archive.too_large"
    )
