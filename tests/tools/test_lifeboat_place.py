# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Claiming and stowing on real file systems: the blocks lie where they are said to, and nothing else is lost."""

from __future__ import annotations

import collections
import hashlib
import os
import subprocess
import time
from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import claim, file_extents, model, stow
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent

from .loop_disk import MIB, LoopDisk, complaints, copy_at_a_moment, loop_device, loop_disk, missing

GIB = 1 << 30
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(bool(missing(kind)), reason=missing(kind))) for kind in ("ext4", "xfs")
]


@pytest.fixture
def lowest(monkeypatch):
    """The smallest room that was left after any step of a claim: of all, and of what everybody may use."""
    seen = []
    allocate = file_extents.allocate

    def watched(handle, start, length):
        allocate(handle, start, length)
        space = os.fstatvfs(handle)
        seen.append((space.f_bfree * space.f_frsize, space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize))

    monkeypatch.setattr(file_extents, "allocate", watched)
    return seen


def total(extents):
    return sum(one.length for one in extents)


def inside(extents, allowed):
    return not model.subtract(extents, allowed)


def is_given_back(disk, before):
    """XFS frees the blocks of a removed file in the background."""
    for _try in range(100):
        os.sync()
        if before - disk.free() < MIB:
            return True
        time.sleep(0.1)
    return False


def blocks_of(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        return file_extents.read_map(handle)
    finally:
        os.close(handle)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [MIB, 63 * 512])
def test_claim_takes_what_is_allowed_and_no_more(tmp_path, kind, start, lowest):
    """Sector 63 is where partitions of old began: no block of the file system begins at a block of the disk."""
    allowed = [Extent(3 * GIB, 600 * MIB), Extent(2 * GIB, 10 * MIB)]
    with loop_disk(tmp_path, kind, 4 * GIB, start) as disk:
        before = disk.free()
        path = disk.mount / "lifeboat"
        got = claim.claim(path, 200 * MIB, allowed, start)
        assert total(got) == 200 * MIB and inside(got, allowed)
        assert all(one.start % 4096 == one.length % 4096 == 0 for one in got)
        assert path.stat().st_mode & 0o777 == 0o600
        assert before - disk.free() < 201 * MIB
        for free, available, size in lowest:
            assert free >= max(size * 0.05, 256 * MIB) and available >= 256 * MIB
        # A second call finds it right, looking changes nothing, and it can all be given back.
        blocks = blocks_of(path)
        lowest.clear()
        assert claim.claim(path, 200 * MIB, allowed, start) == got == claim.held(path, allowed, start)
        assert not lowest and blocks_of(path) == blocks
        assert claim.release(path) and not claim.release(path)
        assert is_given_back(disk, before)
    assert not complaints(disk, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_allowed_range_at_the_very_end_is_reached_without_filling_the_disk(tmp_path, kind, lowest):
    allowed = [Extent(4 * GIB - 140 * MIB, 130 * MIB)]
    with loop_disk(tmp_path, kind, 4 * GIB) as disk:
        got = claim.claim(disk.mount / "lifeboat", 100 * MIB, allowed, disk.start)
        assert total(got) == 100 * MIB and inside(got, allowed)
        assert min(available for _free, available, _size in lowest) >= 256 * MIB
    assert not complaints(disk, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_fragmented_file_system(tmp_path, kind):
    with loop_disk(tmp_path, kind, GIB) as disk:
        files = [disk.mount / f"file{index}" for index in range(100)]
        for index, path in enumerate(files):
            path.write_bytes(bytes([index + 1]) * (4 * MIB))
        os.sync()
        # The room of every other file, and nothing else, is allowed.
        allowed = [
            Extent(piece.physical + disk.start, piece.length) for path in files[::2] for piece in blocks_of(path)
        ]
        for path in files[::2]:
            path.unlink()
        os.sync()
        got = claim.claim(disk.mount / "lifeboat", 100 * MIB, allowed, disk.start)
        assert total(got) >= 100 * MIB and len(got) > 5
        assert inside(got, allowed) and min(one.length for one in got) >= MIB
        for index in range(1, 100, 2):
            assert files[index].read_bytes() == bytes([index + 1]) * (4 * MIB)
    assert not complaints(disk, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_one_whole_piece(tmp_path, kind):
    """The boot loader needs the kernel in one piece; the first free places are too small for that."""
    allowed = [Extent(200 * MIB + index * 8 * MIB, 6 * MIB) for index in range(20)] + [Extent(600 * MIB, 30 * MIB)]
    with loop_disk(tmp_path, kind, GIB) as disk:
        path = disk.mount / "lifeboat"
        got = claim.claim(path, 40 * MIB, allowed, disk.start, whole=20 * MIB)
        assert max(one.length for one in got) >= 20 * MIB and total(got) >= 40 * MIB
        assert claim.claim(path, 40 * MIB, allowed, disk.start, whole=20 * MIB) == got
        with pytest.raises(Fault) as caught:
            claim.claim(path, 40 * MIB, allowed, disk.start, whole=33 * MIB)
        assert "kernel" in caught.value.what
        assert claim.held(path, allowed, disk.start) == got


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "needed", "allowed"),
    [
        pytest.param(600 * MIB, 400 * MIB, [Extent(0, 600 * MIB)], id="nearly full"),
        pytest.param(330 * MIB, 100 * MIB, [Extent(0, 330 * MIB)], id="tiny"),
        pytest.param(2 * GIB, 100 * MIB, [], id="nothing allowed"),
    ],
)
def test_what_cannot_be_had_leaves_nothing_behind(tmp_path, kind, size, needed, allowed):
    with loop_disk(tmp_path, kind, size) as disk:
        before = disk.free()
        with pytest.raises(Fault) as caught:
            claim.claim(disk.mount / "lifeboat", needed, allowed, disk.start)
        assert caught.value.id == "lifeboat.no_room"
        assert not (disk.mount / "lifeboat").exists()
        assert is_given_back(disk, before)
    assert not complaints(disk, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_failed_claim_keeps_what_an_earlier_one_has(tmp_path, kind):
    # Not in the middle, where XFS keeps its log.
    allowed = [Extent(1300 * MIB, 100 * MIB)]
    with loop_disk(tmp_path, kind, 2 * GIB) as disk:
        got = claim.claim(disk.mount / "lifeboat", 60 * MIB, allowed, disk.start)
        with pytest.raises(Fault):
            claim.claim(disk.mount / "lifeboat", 300 * MIB, allowed, disk.start)
        assert claim.held(disk.mount / "lifeboat", allowed, disk.start) == got
        # What is enough where there is not all of it.
        more = claim.claim(disk.mount / "lifeboat", 300 * MIB, allowed, disk.start, least=70 * MIB)
        assert 70 * MIB <= total(more) <= 100 * MIB


@pytest.mark.parametrize("kind", KINDS)
def test_ballast_of_a_crash_is_given_back(tmp_path, kind):
    allowed = [Extent(GIB, 200 * MIB)]
    with loop_disk(tmp_path, kind, 2 * GIB) as disk:
        before = disk.free()
        handle = os.open(disk.mount / "lifeboat", os.O_RDWR | os.O_CREAT, 0o644)
        file_extents.allocate(handle, 0, 1300 * MIB)
        os.close(handle)
        got = claim.claim(disk.mount / "lifeboat", 60 * MIB, allowed, disk.start)
        assert total(got) == 60 * MIB and before - disk.free() < 62 * MIB
        assert (disk.mount / "lifeboat").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4"))
@pytest.mark.parametrize("kind", ["ext2", "ext3"])
def test_file_system_without_extents_is_refused(tmp_path, kind):
    options = ("-O", "^extents,^64bit,^flex_bg" + (",^has_journal" if kind == "ext2" else ""))
    with loop_disk(tmp_path, "ext4", 600 * MIB, options=options) as disk:
        with pytest.raises(Fault) as caught:
            claim.claim(disk.mount / "lifeboat", 10 * MIB, [Extent(0, 600 * MIB)], disk.start)
        assert caught.value.id == "lifeboat.file_system"
        assert not (disk.mount / "lifeboat").exists()


@pytest.mark.skipif(bool(missing("xfs")), reason=missing("xfs"))
def test_shared_extents_are_refused(tmp_path):
    with loop_disk(tmp_path, "xfs", 600 * MIB, options=("-m", "reflink=1")) as disk:
        path = disk.mount / "lifeboat"
        claim.claim(path, 10 * MIB, [Extent(0, 600 * MIB)], disk.start)
        path.write_bytes(b"x" * MIB)
        subprocess.run(["cp", "--reflink=always", str(path), str(disk.mount / "copy")], check=True)
        with pytest.raises(Fault) as caught:
            claim.claim(path, 10 * MIB, [Extent(0, 600 * MIB)], disk.start)
        assert caught.value.id == "lifeboat.file_system" and "reflink" in caught.value.what


def test_other_file_systems_are_refused(tmp_path):
    with pytest.raises(Fault) as caught:
        claim.claim(tmp_path.__class__("/dev/shm/lifeboat"), MIB, [Extent(0, GIB)], 0)
    assert caught.value.id == "lifeboat.file_system" and "tmpfs" in caught.value.what


PAYLOAD = os.urandom(5 * MIB + 12345)
PARTS = {"kernel": b"kernel" * 200000, "initrd": b"initrd" * 500001, "host": b"secret-of-the-host" * 1000}


def lifeboat_in(areas):
    contents = {**PARTS, "payload": PAYLOAD}
    sizes = {**{name: len(data) for name, data in contents.items()}, "journal": 4 * MIB, "core": MIB}
    parts = {
        name: model.Part(
            name,
            sizes[name],
            hashlib.sha256(contents[name]).hexdigest() if name in ("kernel", "initrd", "payload") else "",
            extents,
        )
        for name, extents in model.place(sizes, areas).items()
    }
    return model.Lifeboat("run-1", "0" * 64, 2 * GIB, 512, parts)


def raw(disk, part):
    """What a reader of the disk finds, who knows no file system and shares no memory with it."""
    found = b""
    for one in part.extents:
        argv = ["dd", f"if={disk.image}", "bs=4096", f"skip={one.start // 4096}", f"count={one.length // 4096}"]
        found += subprocess.run([*argv, "iflag=direct", "status=none"], check=True, capture_output=True).stdout
    return found[: part.size], found[part.size :]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [MIB, 63 * 512])
@pytest.mark.parametrize("mounting", ["rw", "data=journal"])
def test_parts_are_on_the_disk(tmp_path, kind, start, mounting):
    """Through the file, in unpartitioned space, and none of it in swap."""
    if mounting == "data=journal" and kind != "ext4":
        pytest.skip("an option of ext4")
    gap, swap = Extent(GIB - MIB + 8192, 512 * 1024), Extent(GIB - 256 * 1024, 128 * 1024)
    with loop_disk(tmp_path, kind, GIB, start, mounting=mounting) as disk:
        path = disk.mount / "lifeboat"
        needed = model.needed_bytes({**{name: len(data) for name, data in PARTS.items()}, "payload": len(PAYLOAD)})
        extents = claim.claim(path, needed + 5 * MIB - gap.length - 8192, [Extent(0, GIB)], start)
        ground = stow.Ground(str(disk.image), start, path, (gap,), (swap,))
        boat = lifeboat_in([gap, *extents, swap])
        assert ground.waits(boat.part("payload"))
        payload = tmp_path / "payload"
        contents = {name: stow.Content(data) for name, data in PARTS.items()} | {"payload": stow.Content(payload)}
        payload.write_bytes(PAYLOAD)

        # Older pages of the file in memory are the trap of writing behind its back.
        path.read_bytes()
        names = ["kernel", "initrd", "host", "payload"]
        assert stow.wrong(ground, boat, contents) == names == stow.put(ground, boat, contents)
        assert stow.wrong(ground, boat, contents) == [] == stow.put(ground, boat, contents)
        for name, data in PARTS.items():
            content, filling = raw(disk, boat.part(name))
            assert content == data and not any(filling)
        assert not any(raw(disk, boat.part("journal"))[0])
        in_swap = model.intersect(boat.part("payload").extents, [swap])
        assert in_swap and not any(raw(disk, replace(boat.part("payload"), extents=tuple(in_swap), size=MIB))[0])

        # The file system shows the same, so it will not write anything else over it.
        shown = path.read_bytes()
        for piece in blocks_of(path):
            place = Extent(piece.physical + start, piece.length)
            for one in model.intersect(boat.part("initrd").extents, [place]):
                offset = piece.logical + one.start - place.start
                assert (
                    shown[offset : offset + one.length]
                    == raw(disk, replace(boat.part("initrd"), extents=(one,), size=one.length))[0]
                )

        stow.shred(ground, boat)
        assert not any(raw(disk, boat.part("host"))[0])
        assert stow.wrong(ground, boat, contents) == ["host"]
    assert not complaints(disk, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_on_the_disk_is_found_and_mended(tmp_path, kind):
    with loop_disk(tmp_path, kind, GIB) as disk:
        path = disk.mount / "lifeboat"
        extents = claim.claim(path, 30 * MIB, [Extent(0, GIB)], disk.start)
        ground = stow.Ground(str(disk.image), disk.start, path)
        boat = lifeboat_in(extents)
        (tmp_path / "payload").write_bytes(PAYLOAD)
        contents = {name: stow.Content(data) for name, data in PARTS.items()}
        contents["payload"] = stow.Content(tmp_path / "payload")
        stow.put(ground, boat, contents)
        # Without the staged copy: what is on the disk is known by its digest.
        (tmp_path / "payload").unlink()
        assert stow.wrong(ground, boat, contents) == []
        with disk.image.open("r+b") as stream:
            stream.seek(boat.part("payload").extents[0].start + 5000)
            stream.write(b"!")
            # The last block of the initrd: zeros behind the archive.
            stream.seek(boat.part("initrd").extents[-1].end - 1)
            stream.write(b"!")
            os.fsync(stream.fileno())
        assert stow.wrong(ground, boat, contents) == ["initrd", "payload"]
        (tmp_path / "payload").write_bytes(PAYLOAD)
        assert stow.put(ground, boat, contents) == ["initrd", "payload"]
        assert raw(disk, boat.part("payload"))[0] == PAYLOAD


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_where_anything_else_may_lie(tmp_path, kind):
    with loop_disk(tmp_path, kind, 600 * MIB) as disk:
        path = disk.mount / "lifeboat"
        extents = claim.claim(path, 30 * MIB, [Extent(0, GIB)], disk.start)
        boat = lifeboat_in(extents)
        claim.release(path)
        claim.claim(path, 2 * MIB, [Extent(0, GIB)], disk.start)
        os.sync()
        ground = stow.Ground(str(disk.image), disk.start, path)
        before = [raw(disk, boat.part(name)) for name in model.PARTS]
        contents = {name: stow.Content(data) for name, data in {**PARTS, "payload": PAYLOAD}.items()}
        with pytest.raises(Fault) as caught:
            stow.put(ground, boat, contents)
        assert caught.value.id == "lifeboat.place_taken"
        assert [raw(disk, boat.part(name)) for name in model.PARTS] == before


@pytest.mark.parametrize("kind", KINDS)
def test_power_cut_while_the_lifeboat_is_made(tmp_path, kind, monkeypatch):
    """Before calls that change blocks the disk is copied as it is: the old system's files are whole in each of
    these states, and a claim and a stowing after the restart finish what was begun."""
    states, calls = [], collections.Counter()
    with loop_disk(tmp_path, kind, 700 * MIB) as disk:
        old = {f"file{index}": os.urandom(2 * MIB + index) for index in range(20)}
        for name, content in old.items():
            (disk.mount / name).write_bytes(content)
        os.sync()
        gap = Extent(700 * MIB - MIB + 8192, 64 * 1024)
        # Two places, far apart: blocks in between are taken and given back.
        allowed = [Extent(200 * MIB, 12 * MIB), Extent(300 * MIB, 40 * MIB)]

        def watch(module, name):
            real = getattr(module, name)

            def watched(*arguments, **more):
                calls[name] += 1
                # The first two of each, and of the many small steps of XFS a few.
                if calls[name] <= 2 or calls[name] % 40 == 0:
                    state = tmp_path / f"state{len(states)}.img"
                    copy_at_a_moment(disk.image, state)
                    states.append((name, state))
                return real(*arguments, **more)

            monkeypatch.setattr(module, name, watched)

        for module, name in ((file_extents, "allocate"), (file_extents, "punch"), (os, "fsync"), (os, "fdatasync")):
            watch(module, name)
        contents = {name: stow.Content(data) for name, data in {**PARTS, "payload": PAYLOAD}.items()}

        def make(target):
            path = target.mount / "lifeboat"
            extents = claim.claim(path, 20 * MIB, allowed, target.start)
            boat = lifeboat_in([gap, *extents])
            ground = stow.Ground(str(target.image), target.start, path, (gap,))
            stow.put(ground, boat, contents)
            return boat

        make(disk)
    monkeypatch.undo()
    assert len(states) >= 5 and {name for name, _state in states} >= {"allocate", "punch", "fsync"}
    for _name, state in states:
        cut = LoopDisk(state, disk.start, tmp_path / "mount")
        with loop_device(state, disk.start) as device:
            subprocess.run(["mount", device, str(cut.mount)], check=True)
            try:
                assert {name: (cut.mount / name).read_bytes() for name in old} == old
                boat = make(cut)
                assert raw(cut, boat.part("payload"))[0] == PAYLOAD
                assert (cut.mount / "lifeboat").stat().st_blocks * 512 < 22 * MIB
            finally:
                subprocess.run(["umount", str(cut.mount)], check=True)
        assert not complaints(cut, kind)
        state.unlink()
