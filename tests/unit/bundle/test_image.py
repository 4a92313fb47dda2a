# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import image
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import Result

from tests.support.fake_runner import FakeRunner

MIB = 1 << 20


class Machine:
    """Answers qemu-img, blkid, mount and cp for one raw image."""

    def __init__(self, raw: Path, contents: dict[int, str], trees: dict[int, list[str]]) -> None:
        self.raw, self.contents, self.trees = raw, contents, trees
        self.mounts: list[str] = []

    def __call__(self, argv: tuple[str, ...], _stdin: bytes | None) -> Any:
        if argv[:2] == ("qemu-img", "info"):
            return json.dumps({"format": "raw"})
        if argv[0] == "blkid":
            kind = self.contents.get(int(argv[3]), "")
            return Result(tuple(argv), 0 if kind else 2, f"DEVNAME=x\nTYPE={kind}\n".encode() if kind else b"")
        if argv[0] == "mount":
            options = dict(part.partition("=")[::2] for part in argv[4].split(","))
            self.mounts.append(argv[4])
            for name in self.trees[int(options["offset"])]:
                path = Path(argv[6]) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("")
            return None
        if argv[0] == "umount":
            for path in sorted(Path(argv[1]).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            return None
        assert argv[0] == "cp"
        for path in Path(argv[-2]).rglob("*"):
            if path.is_file():
                target = Path(argv[-1]) / path.relative_to(Path(argv[-2]))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        return None


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """An image with an MBR and two partitions, of 1 MiB at 1 MiB and of 2 MiB at 2 MiB."""
    sector = bytearray(512)
    for index, (start, count) in enumerate([(2048, 2048), (4096, 4096)]):
        at = 446 + 16 * index
        sector[at + 4] = 0x83
        sector[at + 8 : at + 16] = start.to_bytes(4, "little") + count.to_bytes(4, "little")
    sector[510:] = b"\x55\xaa"
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(sector))
    with path.open("r+b") as file:
        file.truncate(8 * MIB)
    return path


def export(raw: Path, machine: Machine, number: int = 0) -> tuple[int, Path]:
    scratch = raw.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    target = raw.parent / "root"
    return image.export(FakeRunner(handler=lambda a, s: machine(tuple(a), s)), raw, number, target, scratch), target


ROOT = ["etc/os-release", "sbin/init", "home/file"]


def test_the_root_is_found_and_boot_comes_along(raw: Path) -> None:
    machine = Machine(raw, {1 * MIB: "ext4", 2 * MIB: "xfs"}, {1 * MIB: ["vmlinuz-6.1"], 2 * MIB: ROOT})
    number, target = export(raw, machine)
    assert number == 2
    assert (target / "home/file").exists()
    assert (target / "boot/vmlinuz-6.1").exists()
    assert f"ro,noload,loop,offset={1 * MIB},sizelimit={1 * MIB}" in machine.mounts
    assert f"ro,norecovery,nouuid,loop,offset={2 * MIB},sizelimit={2 * MIB}" in machine.mounts


@pytest.mark.parametrize(("kind", "word"), [("LVM2_member", "LVM"), ("crypto_LUKS", "LUKS")])
def test_a_root_on_something_stacked_is_refused_with_a_way_out(raw: Path, kind: str, word: str) -> None:
    machine = Machine(raw, {1 * MIB: "ext4", 2 * MIB: kind}, {1 * MIB: ["vmlinuz-6.1"]})
    with pytest.raises(Fault) as caught:
        export(raw, machine)
    assert caught.value.id == "bundle.image_lvm"
    assert word in caught.value.what
    assert "tar --one-file-system" in caught.value.record()["how"]


def test_two_roots_are_a_doubt_that_a_number_settles(raw: Path) -> None:
    machine = Machine(raw, {1 * MIB: "ext4", 2 * MIB: "ext4"}, {1 * MIB: ROOT, 2 * MIB: ROOT})
    with pytest.raises(Fault) as caught:
        export(raw, machine)
    assert caught.value.id == "bundle.image_root"
    assert "1 and 2" in caught.value.what
    assert export(raw, machine, 2)[0] == 2


def test_no_root_is_answered_with_what_was_found(raw: Path) -> None:
    with pytest.raises(Fault, match="partition 1 holds nothing known, partition 2 holds ntfs"):
        export(raw, Machine(raw, {2 * MIB: "ntfs"}, {}))


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        ({"format": "luks"}, "format luks is not known"),
        ({"format": "qcow2", "backing-filename": "/etc/shadow"}, "needs another one behind it"),
    ],
)
def test_images_that_cannot_be_read_alone_are_refused(raw: Path, shown: dict[str, str], reason: str) -> None:
    runner = FakeRunner({("qemu-img", "info", "--output=json", str(raw)): shown})
    with pytest.raises(Fault, match=reason):
        image.to_raw(runner, raw, raw.parent)
