# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives as the real tools make and read them, and images as qemu-img does."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import image, packing, payload
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

RUNNER = CommandRunner()


def tree(root: Path, order: int, time: int) -> Path:
    names = ["etc/os-release", "usr/bin/tool", "usr/share/data", "var/empty/.keep"]
    for name in names[::order]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name * 1000)
        path.chmod(0o755 if "bin" in name else 0o644)
    (root / "bin").symlink_to("usr/bin")
    for path in root.rglob("*"):
        path.chmod(0o755) if path.is_dir() else None
        os.utime(path, (time, time + 0.5), follow_symlinks=False)
    return root


@pytest.mark.skipif(shutil.which("zstd") is None or shutil.which("cpio") is None, reason="needs zstd and cpio")
def test_an_initramfs_is_equal_whatever_its_history_and_is_read_by_cpio(tmp_path: Path) -> None:
    first, second = tmp_path / "first.zst", tmp_path / "second.zst"
    packing.pack_cpio(RUNNER, tree(tmp_path / "a", 1, 1000), first, 5, 3)
    packing.pack_cpio(RUNNER, tree(tmp_path / "b", -1, 2000), second, 5, 3)
    assert first.read_bytes() == second.read_bytes()
    plain = subprocess.run(["zstd", "-dcq", str(first)], capture_output=True, check=True).stdout
    listed = subprocess.run(["cpio", "-itv", "--quiet"], input=plain, capture_output=True, check=True).stdout.decode()
    assert "bin -> usr/bin" in listed
    tool = next(line.split() for line in listed.splitlines() if line.endswith("usr/bin/tool"))
    assert tool == ["-rwxr-xr-x", "1", "root", "root", "12000", "Jan", "1", "1970", "usr/bin/tool"]


@pytest.mark.parametrize("compression", ["zstd", "xz", "gzip", "none"])
def test_a_root_archive_is_equal_whatever_its_history(tmp_path: Path, compression: str) -> None:
    if compression != "none" and shutil.which(compression) is None:
        pytest.skip(f"needs {compression}")
    command = packing.compressor(compression, 3)
    first, second = tmp_path / "first", tmp_path / "second"
    packing.pack_tar(RUNNER, tree(tmp_path / "a", 1, 2000), first, command, 1000, own=False)
    packing.pack_tar(RUNNER, tree(tmp_path / "b", -1, 3000), second, command, 1000, own=False)
    assert first.read_bytes() == second.read_bytes()
    assert payload.is_archive(RUNNER, first)
    target = tmp_path / "out"
    payload.unpack_archive(RUNNER, first, target)
    assert (target / "usr/bin/tool").read_text() == "usr/bin/tool" * 1000
    assert (target / "usr/bin/tool").stat().st_mtime == 1000


def test_an_archive_with_a_folder_around_it_is_unpacked_without(tmp_path: Path) -> None:
    tree(tmp_path / "pack/rootfs", 1, 10)
    RUNNER.run(["tar", "-cf", str(tmp_path / "x.tar"), "-C", str(tmp_path / "pack"), "rootfs"])
    payload.unpack_archive(RUNNER, tmp_path / "x.tar", tmp_path / "out")
    assert (tmp_path / "out/etc/os-release").exists()


def test_an_archive_cut_off_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.gz"
    packing.pack_tar(RUNNER, tree(tmp_path / "a", 1, 10), archive, ["gzip", "-n"], 1000)
    archive.write_bytes(archive.read_bytes()[:-30])
    assert not payload.is_archive(RUNNER, archive)
    with pytest.raises(Fault) as caught:
        payload.unpack_archive(RUNNER, archive, tmp_path / "out")
    assert caught.value.id == "bundle.payload_unreadable"


@pytest.mark.skipif(shutil.which("qemu-img") is None or shutil.which("sgdisk") is None, reason="needs qemu-img, sgdisk")
@pytest.mark.parametrize("kind", ["raw", "qcow2", "vmdk", "ova"])
def test_partitions_of_every_kind_of_image_are_found(tmp_path: Path, kind: str) -> None:
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(64 << 20)
    RUNNER.run(["sgdisk", "--new=1:2048:+1M", "--typecode=1:ef02", "--new=2:0:0", str(raw)])
    source = tmp_path / f"disk.{kind}"
    if kind == "ova":
        disk = tmp_path / "vm-disk1.vmdk"
        RUNNER.run(["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", str(raw), str(disk)])
        (tmp_path / "vm.ovf").write_text("<Envelope/>")
        RUNNER.run(["tar", "-cf", str(source), "-C", str(tmp_path), "vm.ovf", "vm-disk1.vmdk"])
    elif kind != "raw":
        RUNNER.run(["qemu-img", "convert", "-O", kind, str(raw), str(source)])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert not payload.is_archive(RUNNER, source)
    found = image.areas(image.to_raw(RUNNER, source, scratch))
    assert [(area.number, area.offset) for area in found] == [(1, 1 << 20), (2, 2 << 20)]


@pytest.mark.skipif(shutil.which("mke2fs") is None, reason="needs mke2fs")
def test_a_file_system_is_known_by_its_offset(tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(16 << 20)
    RUNNER.run(["mke2fs", "-q", "-t", "ext4", "-E", f"offset={2 << 20}", str(raw), "8M"])
    assert image.content(RUNNER, raw, image.Area(2, 2 << 20, 8 << 20)) == "ext4"
    assert image.content(RUNNER, raw, image.Area(1, 12 << 20, 1 << 20)) == ""
