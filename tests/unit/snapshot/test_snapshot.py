# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is saved of a host before it is rewritten, with the whole argv of every command."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.snapshot import evidence, root_archive
from ansible_collections.dualroot.migrate.plugins.plugin_utils.receiving import Receiving, is_there, receive

from tests.support.fake_runner import FakeRunner, failed

MIB = 1 << 20


def _which(*known: str) -> Any:
    return lambda program: f"/sbin/{program}" if program in known else None


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> dict[str, Any]:
    node = tmp_path / "disk"
    content = bytearray(4 * MIB)
    content[:4] = b"BOOT"
    content[2 * MIB : 2 * MIB + 4] = b"PART"
    content[-4:] = b"LAST"
    node.write_bytes(content)
    return {
        "name": str(node),
        "size_bytes": 4 * MIB,
        "logical_sector_bytes": 512,
        "partitions": [{"number": 1, "start_lba": 4096, "sectors": 4096}],
    }


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_raw_sectors_and_dumps_are_saved(disk: dict[str, Any], tmp_path: Path) -> None:
    runner = FakeRunner(
        {
            ("sfdisk", "--dump", disk["name"]): "label: dos\n",
            ("vgs", "--noheadings", "--options", "vg_name"): "  DATA\n",
            ("vgcfgbackup", "--file", "/dev/stdout", "DATA"): "DATA {\n",
        }
    )
    folder = tmp_path / "runs" / "r1"
    saved = evidence.save(runner, _which("sfdisk", "vgs", "vgcfgbackup"), disk, folder)
    members = _members(Path(saved["archive"]["path"]))
    assert sorted(members) == sorted(saved["files"])
    assert sorted(members) == [
        "disk.json", "end.bin", "lvm-DATA.vg", "partition-1.bin", "start.bin", "table.sfdisk",
    ]  # fmt: skip
    assert members["start.bin"].startswith(b"BOOT") and len(members["start.bin"]) == MIB
    assert members["end.bin"].endswith(b"LAST") and len(members["end.bin"]) == 34 * 512
    assert members["partition-1.bin"].startswith(b"PART") and len(members["partition-1.bin"]) == 8192
    assert members["table.sfdisk"] == b"label: dos\n"
    assert saved["files"]["end.bin"] == hashlib.sha256(members["end.bin"]).hexdigest()
    assert stat.S_IMODE((folder / "evidence.tar.gz").stat().st_mode) == 0o600
    for made in (folder, folder.parent):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_host_without_tools_still_has_its_sectors_saved(disk: dict[str, Any], tmp_path: Path) -> None:
    saved = evidence.save(FakeRunner(), _which(), disk, tmp_path / "r1")
    assert sorted(saved["files"]) == ["disk.json", "end.bin", "partition-1.bin", "start.bin"]


def test_tools_that_fail_do_not_matter(disk: dict[str, Any], tmp_path: Path) -> None:
    runner = FakeRunner(
        {
            ("sfdisk", "--dump", disk["name"]): failed(1),
            ("vgs", "--noheadings", "--options", "vg_name"): failed(5),
        }
    )
    saved = evidence.save(runner, _which("sfdisk", "vgs", "vgcfgbackup"), disk, tmp_path / "r1")
    assert "table.sfdisk" not in saved["files"]


def test_a_second_run_reads_what_is_there(disk: dict[str, Any], tmp_path: Path) -> None:
    first = evidence.save(FakeRunner(), _which(), disk, tmp_path / "r1")
    Path(disk["name"]).unlink()
    assert evidence.save(FakeRunner(), _which(), disk, tmp_path / "r1") == first
    (tmp_path / "r1" / "evidence.tar.gz").write_bytes(b"damaged")
    assert evidence.read_saved(tmp_path / "r1") is None


@pytest.mark.parametrize("spoil", [{"name": "/nonexistent/disk"}, {"size_bytes": 8 * MIB}])
def test_an_unreadable_disk_is_a_fault(disk: dict[str, Any], tmp_path: Path, spoil: dict[str, Any]) -> None:
    with pytest.raises(Fault) as raised:
        evidence.save(FakeRunner(), _which(), {**disk, **spoil}, tmp_path / "r1")
    assert raised.value.id == "snapshot.disk_unreadable"
    assert not (tmp_path / "r1").exists()


def _tar(compressor: str, partial: Path, *excludes: str) -> tuple[str, ...]:
    return (
        "tar", "--create", f"--file={partial}", f"--use-compress-program={compressor}", "--directory=/",
        "--one-file-system", "--numeric-owner", "--sparse", "--xattrs", "--acls", "--selinux",
        "--warning=no-file-ignored",
        *(
            f"--exclude={path}"
            for path in (
                "./var/lib/dualroot", "./boot/dualroot", "./proc/*", "./sys/*", "./dev/*", "./run/*",
                "./tmp/*", "./var/tmp/*", "./lost+found", *excludes,
            )
        ),
        ".",
    )  # fmt: skip


@pytest.mark.parametrize(("known", "compressor", "suffix"), [(("zstd",), "zstd", "zst"), ((), "gzip", "gz")])
def test_the_root_is_archived(tmp_path: Path, known: tuple[str, ...], compressor: str, suffix: str) -> None:
    partial = tmp_path / f".root.tar.{suffix}.partial"
    argv = _tar(compressor, partial, "./srv/cache")
    runner = FakeRunner({argv: lambda *_: partial.write_bytes(b"packed") and None})
    made = root_archive.make(runner, _which(*known), tmp_path, ["./srv/cache"], used=100, free=100)
    assert made == {
        "path": str(tmp_path / f"root.tar.{suffix}"),
        "sha256": hashlib.sha256(b"packed").hexdigest(),
        "size": 6,
        "compression": {"zst": "zstd", "gz": "gzip"}[suffix],
    }
    assert stat.S_IMODE(Path(made["path"]).stat().st_mode) == 0o600
    assert root_archive.make(FakeRunner(), _which(), tmp_path, [], used=100, free=0) == made


def test_no_room_for_the_archive(tmp_path: Path) -> None:
    with pytest.raises(Fault) as raised:
        root_archive.make(FakeRunner(), _which(), tmp_path, [], used=10 * MIB, free=5 * MIB)
    assert raised.value.id == "snapshot.no_room"
    assert "needs about 6 MiB" in raised.value.what


def test_a_failed_archive_leaves_no_half(tmp_path: Path) -> None:
    partial = tmp_path / ".root.tar.gz.partial"
    runner = FakeRunner({_tar("gzip", partial): failed(2, "tar: /etc/x: Cannot open: Input/output error")})
    with pytest.raises(Fault) as raised:
        root_archive.make(runner, _which(), tmp_path, [], used=0, free=MIB)
    assert raised.value.id == "snapshot.archive_failed"
    assert "Input/output error" in raised.value.what
    assert list(tmp_path.iterdir()) == []


class FakeHost:
    """Answers the pieces of a file as the shell of a host would."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, text: str) -> dict[str, Any]:
        self.asked.append(text)
        skip, count = (int(re.search(rf"{word}=(\d+)", text).group(1)) for word in ("skip", "count"))  # type: ignore[union-attr]
        stream = io.BytesIO(self.content)
        stream.seek(skip * MIB)
        return {"rc": 0, "stdout": base64.b64encode(stream.read(count * MIB)).decode() + "\r\n", "stderr": ""}


def _receiving(tmp_path: Path, content: bytes) -> Receiving:
    target = tmp_path / "host" / "root.tar.zst"
    return Receiving("/var/lib/x y", target, hashlib.sha256(content).hexdigest(), len(content))


def test_a_file_is_fetched_in_pieces(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 9 + b"end"
    host, wanted = FakeHost(content), _receiving(tmp_path, content)
    assert not is_there(wanted)
    receive(host, wanted)
    assert wanted.target.read_bytes() == content
    assert is_there(wanted)
    assert stat.S_IMODE(wanted.target.stat().st_mode) == 0o600
    assert host.asked == [
        f"dd if='/var/lib/x y' bs=1048576 skip={skip} count=4 2>/dev/null | base64 -w 0" for skip in (0, 4, 8)
    ]


def test_a_broken_transfer_goes_on(tmp_path: Path) -> None:
    content = b"a" * (10 * MIB)
    host, wanted = FakeHost(content), _receiving(tmp_path, content)
    wanted.part.parent.mkdir()
    wanted.part.write_bytes(content[: 9 * MIB + 5])
    receive(host, wanted)
    assert wanted.target.read_bytes() == content
    assert len(host.asked) == 1


@pytest.mark.parametrize("arrived", [b"b" * MIB, b"a" * (MIB // 2), b""])
def test_what_arrives_differently_is_removed(tmp_path: Path, arrived: bytes) -> None:
    wanted = _receiving(tmp_path, b"a" * MIB)
    with pytest.raises(Fault) as raised:
        receive(FakeHost(arrived), wanted)
    assert raised.value.id == "snapshot.digest_mismatch"
    assert list(wanted.target.parent.iterdir()) == []
