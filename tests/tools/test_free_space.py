# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Free space of mounted ext4 and XFS: what the kernel tells, what the bitmaps say, and what files really take."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import ext4_bitmaps, free_space, fsmap
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, intersect
from ansible_collections.dualroot.migrate.plugins.module_utils.runner import CommandRunner

from .loop_disk import LoopDisk, loop_disk, missing

MIB = 1 << 20
KINDS = [
    pytest.param("ext4", (), marks=pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4"))),
    pytest.param(
        "ext4",
        ("-b", "1024", "-O", "^64bit,^flex_bg,^metadata_csum,uninit_bg"),
        marks=pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4")),
    ),
    pytest.param("xfs", (), marks=pytest.mark.skipif(bool(missing("xfs")), reason=missing("xfs"))),
]


def scattered(mount: Path) -> list[Path]:
    """Write files and delete every second, so that free space is in pieces; return those that stay."""
    files = []
    for index in range(24):
        path = mount / f"file{index}"
        path.write_bytes(os.urandom(1 << 16) * (16 * (1 + index % 5)))
        files.append(path)
    subprocess.run(["sync", "-f", str(mount)], check=True)
    for path in files[::2]:
        path.unlink()
    # Freezing brings the log of XFS home, or the bare disk would not show what a program that reads it sees.
    subprocess.run(["fsfreeze", "--freeze", str(mount)], check=True)
    subprocess.run(["fsfreeze", "--unfreeze", str(mount)], check=True)
    return files[1::2]


def extents_of(path: Path) -> list[Extent]:
    """FS_IOC_FIEMAP of one file, in bytes of its file system's device."""
    buffer = bytearray(struct.pack("<QQIIII", 0, (1 << 64) - 1, 1, 0, 64, 0)) + bytearray(64 * 56)
    with path.open("rb") as stream:
        fcntl.ioctl(stream, 0xC020660B, buffer)
    count = struct.unpack_from("<I", buffer, 20)[0]
    return [Extent(*struct.unpack_from("<QQ", buffer, 32 + 56 * index + 8)) for index in range(count)]


def device_of(disk: LoopDisk) -> Path:
    number = os.stat(disk.mount).st_dev
    return Path(f"/dev/loop{os.minor(number)}")


def total(extents) -> int:
    return sum(one.length for one in extents)


def joined(extents) -> list[Extent]:
    found: list[Extent] = []
    for one in sorted(extents):
        if found and found[-1].end == one.start:
            found[-1] = Extent(found[-1].start, found[-1].length + one.length)
        else:
            found.append(one)
    return found


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_kernel_tells_the_free_extents(tmp_path, kind, options):
    with loop_disk(tmp_path, kind, 600 * MIB, options=options) as disk:
        kept = scattered(disk.mount)
        free = list(fsmap.free_extents(disk.mount))
        assert len(free) > 5
        assert all(one.end <= second.start for one, second in zip(free, free[1:]))
        # XFS keeps some blocks of each group back for its own trees, which are free all the same.
        assert abs(total(free) - disk.free()) < (4 << 20 if kind == "ext4" else disk.free() // 10)
        used = [one for path in kept for one in extents_of(path)]
        assert total(used) >= sum(path.stat().st_size for path in kept)
        assert intersect(free, used) == []


@pytest.mark.parametrize("options", [one.values[1] for one in KINDS[:2]])
@pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4"))
def test_the_bitmaps_of_ext4_say_the_same_as_the_kernel(tmp_path, options):
    with loop_disk(tmp_path, "ext4", 600 * MIB, options=options) as disk:
        scattered(disk.mount)
        told, read = list(fsmap.free_extents(disk.mount)), list(ext4_bitmaps.free_extents(device_of(disk)))
        assert joined(read) == joined(told)


@pytest.mark.skipif(bool(missing("xfs")), reason=missing("xfs"))
def test_xfs_db_says_nearly_the_same_as_the_kernel(tmp_path):
    with loop_disk(tmp_path, "xfs", 600 * MIB) as disk:
        scattered(disk.mount)
        told = list(fsmap.free_extents(disk.mount))
        read = free_space.xfs_free(CommandRunner(), str(device_of(disk)), Path("/"))
        assert abs(total(intersect(read, told)) - total(told)) < 8 * MIB


@pytest.mark.skipif(bool(missing("xfs")), reason=missing("xfs"))
def test_xfs_db_is_not_shown_what_was_there_at_an_earlier_look(tmp_path):
    with loop_disk(tmp_path, "xfs", 600 * MIB) as disk, device_of(disk).open("rb") as held:
        while held.read(MIB):
            pass
        kept = scattered(disk.mount)
        read = free_space.xfs_free(CommandRunner(), str(device_of(disk)), Path("/"))
        assert intersect(read, [one for path in kept for one in extents_of(path)]) == []


def refuse_the_call(_mount):
    raise OSError(25, "Inappropriate ioctl for device")


@pytest.mark.parametrize("old_kernel", [False, True])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_areas_lie_on_the_disk_where_files_of_the_root_can_lie(tmp_path, kind, options, old_kernel):
    start = 3 * MIB
    with loop_disk(tmp_path, kind, 600 * MIB, start=start, options=options) as disk:
        kept = scattered(disk.mount)
        where = free_space.Root(str(device_of(disk)), kind, start, 600 * MIB - start - MIB)
        reader = refuse_the_call if old_kernel else (lambda _root: fsmap.free_extents(disk.mount))
        found = free_space.root_areas(CommandRunner(), where, Path("/"), reader)
        areas = found.areas
        assert found.doubt == ""
        assert all(one.length >= MIB and one.start % 4096 == 0 and one.length % 4096 == 0 for one in areas)
        assert total(areas) > disk.free() // 2
        pieces = [Extent(start + one.start, one.length) for path in kept for one in extents_of(path)]
        assert intersect(areas, pieces) == []
        content = kept[0].read_bytes()
        with disk.image.open("rb") as stream:
            stream.seek(pieces[0].start)
            assert stream.read(4096) == content[:4096]
        assert free_space.budget(disk.mount) < disk.free() - 200 * MIB


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_file_of_an_earlier_run_counts_as_room(tmp_path, kind, options):
    with loop_disk(tmp_path, kind, 600 * MIB, options=options) as disk:
        where = free_space.Root(str(device_of(disk)), kind, MIB, 598 * MIB)
        before = free_space.root_areas(CommandRunner(), where, Path("/"), lambda _root: fsmap.free_extents(disk.mount))
        file = disk.mount / "var/lib/dualroot/lifeboat"
        file.parent.mkdir(parents=True)
        with file.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, 200 * MIB)
        # The node of the device is outside of the mounted root.
        (disk.mount / "dev").mkdir()
        os.mknod(disk.mount / where.node.lstrip("/"), 0o600 | 0o060000, os.stat(disk.mount).st_dev)
        after = free_space.root_areas(CommandRunner(), where, disk.mount, fsmap.free_extents)
        # Pieces below a MiB are left out.
        assert 190 * MIB < after.kept_bytes <= 200 * MIB
        assert abs(total(after.areas) - total(before.areas)) < 8 * MIB


@pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4"))
def test_a_root_that_was_made_as_ext3_has_no_room_for_a_file(tmp_path):
    with loop_disk(tmp_path, "ext4", 64 * MIB, options=("-O", "^extent,^64bit,^metadata_csum")) as disk:
        where = free_space.Root(str(device_of(disk)), "ext4", MIB, 62 * MIB)
        found = free_space.root_areas(CommandRunner(), where, Path("/"), fsmap.free_extents)
    assert found.areas == []
    assert "made as ext3" in found.doubt
