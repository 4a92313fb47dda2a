# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Claiming blocks with allocators of every temper; real file systems are in tests/tools/test_lifeboat_place.py."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import mounts
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.usage import Mount
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import claim, file_extents
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.file_extents import Mapped
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, subtract

MIB = 1 << 20
GIB = 1 << 30
UNIT = MIB


class FakeFileSystem:
    """Free units of a megabyte, handed out in an order that only the allocator knows."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, free: list[int], total: int) -> None:
        self.path = path
        self.free = list(free)
        self.total = total
        self.file: dict[int, int] = {}
        self.lowest = len(free)
        self.failing: Exception | None = None
        self.most = 10**9
        monkeypatch.setattr(claim, "check_file_system", lambda _path: None)
        monkeypatch.setattr(file_extents, "allocate", self.allocate)
        monkeypatch.setattr(file_extents, "punch", self.punch)
        monkeypatch.setattr(file_extents, "read_map", self.read_map)
        monkeypatch.setattr(os, "fstatvfs", self.space)
        real = os.ftruncate
        monkeypatch.setattr(os, "ftruncate", lambda handle, size: (self.truncate(size), real(handle, size))[1])
        self.real_truncate = real

    def space(self, _handle: int) -> os.statvfs_result:
        return os.statvfs_result((UNIT, UNIT, self.total, len(self.free), len(self.free), 9, 9, 9, 0, 255))

    def allocate(self, handle: int, start: int, length: int) -> None:
        if self.failing is not None:
            raise self.failing
        for logical in range(start // UNIT, (start + length) // UNIT):
            if logical in self.file:
                continue
            if not self.free or self.most == 0:
                raise OSError(errno.ENOSPC, "no space")
            self.most -= 1
            self.file[logical] = self.free.pop(0)
            self.real_truncate(handle, (logical + 1) * UNIT)
        self.lowest = min(self.lowest, len(self.free))

    def punch(self, _handle: int, start: int, length: int) -> None:
        for logical in range(start // UNIT, (start + length) // UNIT):
            self.free.append(self.file.pop(logical))

    def truncate(self, size: int) -> None:
        for logical in [one for one in self.file if one * UNIT >= size]:
            self.free.append(self.file.pop(logical))

    def read_map(self, _handle: int, start: int = 0) -> list[Mapped]:
        return [Mapped(one * UNIT, self.file[one] * UNIT, UNIT) for one in sorted(self.file) if one * UNIT >= start]


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """What is claimed is allowed, enough, found again, and never at the price of the old system's own room."""
    chance = random.Random(seed)
    total = chance.randrange(600, 3000)
    free = [unit for unit in range(total) if chance.random() < 0.9]
    chance.shuffle(free)
    system = FakeFileSystem(tmp_path / "lifeboat", monkeypatch, free, total)
    first = chance.randrange(total // 2)
    allowed = [Extent(MIB + first * UNIT, chance.randrange(50, total // 2) * UNIT), Extent(MIB, 20 * UNIT)]
    needed = chance.randrange(10, 120) * UNIT
    reserve = max(total * 0.05, 256)
    try:
        got = claim.claim(system.path, needed, allowed, MIB)
    except Fault as fault:
        assert fault.id == "lifeboat.no_room"
        assert not system.path.exists() and not system.file and sorted(system.free) == sorted(free)
    else:
        assert not subtract(got, allowed) and sum(one.length for one in got) >= needed
        # Not a block more is kept than what was claimed.
        assert len(system.file) * UNIT == sum(one.length for one in got)
        before = dict(system.file)
        assert claim.claim(system.path, needed, allowed, MIB) == got == claim.held(system.path, allowed, MIB)
        assert system.file == before
    assert system.lowest >= reserve or system.lowest == len(free)


def test_room_that_another_program_takes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeFileSystem(tmp_path / "lifeboat", monkeypatch, list(range(1000)), 1000)
    system.most = 100
    with pytest.raises(Fault) as caught:
        claim.claim(system.path, 200 * UNIT, [Extent(0, 1000 * UNIT)], 0)
    assert caught.value.id == "lifeboat.no_room" and not system.file and not system.path.exists()
    system.most = 100
    got = claim.claim(system.path, 200 * UNIT, [Extent(0, 1000 * UNIT)], 0, least=90 * UNIT)
    assert sum(one.length for one in got) == 100 * UNIT
    # All of it lies inside the size of the file, or XFS would give it back.
    assert system.path.stat().st_size >= 100 * UNIT


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EROFS, errno.EIO])
def test_file_system_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    system = FakeFileSystem(tmp_path / "lifeboat", monkeypatch, list(range(1000)), 1000)
    system.failing = OSError(code, os.strerror(code))
    with pytest.raises(Fault) as caught:
        claim.claim(system.path, 20 * UNIT, [Extent(0, 1000 * UNIT)], 0)
    assert caught.value.id == "lifeboat.file_system" and os.strerror(code) in caught.value.what
    assert not system.path.exists()


def test_file_that_may_not_grow_any_more_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeFileSystem(tmp_path / "lifeboat", monkeypatch, list(range(1000)), 1000)
    system.failing = OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    with pytest.raises(Fault) as caught:
        claim.claim(system.path, 20 * UNIT, [Extent(0, 1000 * UNIT)], 0)
    assert caught.value.id == "lifeboat.no_room"
    assert not system.path.exists()


def test_something_else_of_this_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = FakeFileSystem(tmp_path / "lifeboat", monkeypatch, list(range(1000)), 1000)
    (tmp_path / "elsewhere").write_bytes(b"x")
    system.path.symlink_to("elsewhere")
    with pytest.raises(Fault, match=r"lifeboat\.file_system"):
        claim.claim(system.path, 20 * UNIT, [Extent(0, 1000 * UNIT)], 0)
    assert (tmp_path / "elsewhere").read_bytes() == b"x" and system.path.is_symlink()


@pytest.mark.parametrize(("fstype", "refused"), [("ext4", False), ("xfs", False), ("btrfs", True), ("ext3", True)])
def test_file_systems(monkeypatch: pytest.MonkeyPatch, fstype: str, refused: bool) -> None:
    monkeypatch.setattr(mounts, "find", lambda path: Mount("8:1", "/", fstype, "/dev/sda1", "rw", "/"))
    if refused:
        with pytest.raises(Fault, match=fstype):
            claim.check_file_system(Path("/var/lib/dualroot/lifeboat"))
    else:
        claim.check_file_system(Path("/var/lib/dualroot/lifeboat"))


def answer_fiemap(monkeypatch: pytest.MonkeyPatch, extents: list[tuple[int, int, int, int]]) -> None:
    """Answer as the kernel does (Documentation/filesystems/fiemap.rst), a few extents at a time."""

    def ioctl(_handle: int, number: int, request: bytearray, mutate: bool = True) -> int:
        assert number == 0xC020660B and mutate
        start, _length, flags, _mapped, room, _reserved = struct.unpack_from("=QQIIII", request)
        assert flags == 1 and room >= 3
        chosen = [one for one in extents if one[0] + one[2] > start][:3]
        struct.pack_into("=I", request, 20, len(chosen))
        for index, (logical, physical, length, bits) in enumerate(chosen):
            struct.pack_into("=QQQQQIIII", request, 32 + 56 * index, logical, physical, length, 0, 0, bits, 0, 0, 0)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)


def test_map_of_many_extents(monkeypatch: pytest.MonkeyPatch) -> None:
    extents = [(index * 8192, 10**6 * index, 4096, 0x800) for index in range(10)]
    extents[-1] = (*extents[-1][:3], 0x801)
    answer_fiemap(monkeypatch, extents)
    assert file_extents.read_map(3) == [Mapped(*one[:3]) for one in extents]


@pytest.mark.parametrize(
    ("bit", "word"),
    [(0x2, "unknown"), (0x4, "delayed"), (0x8, "encoded"), (0x80, "encrypted"), (0x200, "inside metadata")]
    + [(0x100, "aligned"), (0x400, "shares a block"), (0x2000, "reflink")],
)
def test_extents_that_are_not_simply_there(monkeypatch: pytest.MonkeyPatch, bit: int, word: str) -> None:
    answer_fiemap(monkeypatch, [(0, 4096, 4096, 0), (4096, 16384, 4096, bit | 1)])
    with pytest.raises(Fault) as caught:
        file_extents.read_map(3)
    assert caught.value.id == "lifeboat.file_system" and word in caught.value.what


def test_file_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def ioctl(*_unused: Any) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    with pytest.raises(Fault, match=r"lifeboat\.file_system"):
        file_extents.read_map(3)
