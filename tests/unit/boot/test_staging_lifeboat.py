# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Staging with a lifeboat: what is written where, twice the same, and a cut between any two writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import disarming, staged_lifeboat, staging
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import berth, claim, disk, model, stow
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.claim import Piece
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Lifeboat

from .test_staging import EVERYTHING, FILES, SECRET, Host

MIB = 1 << 20
DISK_BYTES = 4 * MIB
GAP = Extent(2 * MIB, 16 * 1024)
SWAP = Extent(3 * MIB, MIB)
WITH_LIFEBOAT = [*EVERYTHING[:4], "lifeboat", *EVERYTHING[4:], "payload copy"]


class FakeDisk:
    """A disk that is one file, of which the first bytes are claimed, and the file of the lifeboat as well."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = state / "lifeboat"
        self.claimed = 0
        self.room = MIB
        self.gaps: tuple[Extent, ...] = (GAP,)
        self.swaps: tuple[Extent, ...] = ()
        self.claims = 0
        # Small, so that hundreds of stagings take seconds.
        monkeypatch.setattr(model, "JOURNAL_BYTES", 8192)
        monkeypatch.setattr(model, "CORE_BYTES", 4096)
        monkeypatch.setattr(berth, "ground_of", lambda *_unused: self.ground())
        monkeypatch.setattr(berth, "ground_left", lambda *_unused: self.ground())
        monkeypatch.setattr(claim, "claim", self._claim)
        monkeypatch.setattr(claim, "held", self._held)
        monkeypatch.setattr(claim, "pieces", lambda *_unused: [Piece(MIB, Extent(MIB, self.claimed))])
        # What only costs time here: nothing is read back past a page cache.
        monkeypatch.setattr(os, "fsync", lambda *_unused: None)
        monkeypatch.setattr(os, "fdatasync", lambda *_unused: None)
        monkeypatch.setattr(stow, "sync_file_system", lambda *_unused: None)
        monkeypatch.setattr(stow, "settle", lambda *_unused, **_too: None)

    def ground(self) -> stow.Ground:
        return stow.Ground(str(self.file), 0, self.file, self.gaps, self.swaps)

    def _claim(self, path: Path, needed: int, *_unused: Any, least: int, whole: int) -> None:
        self.claims += 1
        got = min(-(-needed // 4096) * 4096, self.room)
        assert got >= least, "the test gave too little room"
        if not path.exists():
            with path.open("wb") as stream:
                stream.truncate(DISK_BYTES)
        self.claimed = got

    def _held(self, path: Path, *_unused: Any) -> tuple[Extent, ...]:
        return (Extent(MIB, self.claimed),) if path.is_file() and self.claimed else ()

    def content(self, lifeboat: Lifeboat, name: str) -> bytes:
        part = lifeboat.part(name)
        return b"".join(bytes(piece) for piece in disk.read_extents(self.file, part.extents, part.size))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.fixture
def ship(host: Host, monkeypatch: pytest.MonkeyPatch) -> FakeDisk:
    return FakeDisk(host.state, monkeypatch)


def order(host: Host, **changes: Any) -> staging.Staging:
    whole = {"start": 0, "length": DISK_BYTES}
    lifeboat = {
        "wish": "required",
        "used": True,
        "needed_bytes": 6 * MIB,
        "allowed": [[whole["start"], whole["length"]]],
        "gaps": [],
        "swaps": [],
    }
    place = {**host.plan()["disk"], "size_bytes": DISK_BYTES}
    return host.order(**{"lifeboat": lifeboat, "disk": place, **changes})


def names(changes: list[staging.Change]) -> list[str]:
    return [change.what for change in changes]


def is_stowed(host: Host, ship: FakeDisk) -> None:
    lifeboat = berth.read_document(host.stage)
    assert lifeboat is not None
    for name, file in (("kernel", "vmlinuz"), ("initrd", "initrd.img"), ("payload", "rootfs.tar.zst")):
        if not ship.ground().waits(lifeboat.part(name)):
            assert ship.content(lifeboat, name) == FILES[file]
    host_part = (host.boot / "host.cpio").read_bytes()
    content = ship.content(lifeboat, "host")
    assert content.startswith(host_part) and not any(content[len(host_part) :])
    assert SECRET.encode() in host_part and berth.dump(lifeboat) in host_part


def test_everything_is_stowed_and_the_second_run_does_nothing(host: Host, ship: FakeDisk) -> None:
    first = order(host)
    assert names(first.pending()) == WITH_LIFEBOAT[:-1]
    assert not ship.file.exists() and ship.claims == 0
    assert names(first.apply()) == WITH_LIFEBOAT
    is_stowed(host, ship)
    assert not (host.stage / "rootfs.tar.zst").exists()
    assert (host.stage / "lifeboat.json").stat().st_mode & 0o777 == 0o600
    before = {path: path.stat().st_mtime_ns for path in host.root.rglob("*") if path.is_file()}
    assert order(host).apply() == [] and ship.claims == 1
    assert {path: path.stat().st_mtime_ns for path in host.root.rglob("*") if path.is_file()} == before
    found = order(host).lifeboat()
    assert found is not None and found.run_id == "run-1" and found.disk_bytes == DISK_BYTES


def test_document_is_what_stage_two_reads(host: Host, ship: FakeDisk) -> None:
    order(host).apply()
    archive = (host.boot / "host.cpio").read_bytes()
    start = archive.index(b'{"disk_bytes"')
    document = json.loads(archive[start : archive.index(b"\n", start)])
    lifeboat = Lifeboat.from_document(document)
    assert lifeboat == berth.read_document(host.stage)
    assert lifeboat.part("host").size % 4096 == 0 and lifeboat.part("host").sha256 == ""


def test_payload_that_waits_for_swap_stays(host: Host, ship: FakeDisk) -> None:
    # Everything but the payload: journal, core, kernel, initrd, and the host's part.
    ship.room, ship.gaps, ship.swaps = 8192 + 3 * 4096 + 64 * 1024, (), (SWAP,)
    assert names(order(host).apply()) == WITH_LIFEBOAT[:-1]
    lifeboat = berth.read_document(host.stage)
    assert lifeboat is not None and ship.ground().waits(lifeboat.part("payload"))
    assert (host.stage / "rootfs.tar.zst").read_bytes() == FILES["rootfs.tar.zst"]
    assert not any(ship.file.read_bytes()[SWAP.start : SWAP.end])
    assert order(host).apply() == []
    (host.stage / "rootfs.tar.zst").unlink()
    assert "payload" in names(order(host).pending())


def test_old_root_needs_room_only_for_what_lies_there(
    host: Host, ship: FakeDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 48 KiB beside the 32 MiB that stay free: enough for the staged files, for no part of the lifeboat.
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result((4096, 4096, 1, 8204, 8204, 9, 9, 9, 0, 255)))
    ship.gaps = ()
    with pytest.raises(Fault) as caught:
        order(host).pending()
    assert caught.value.id == "boot.no_space"
    ship.swaps = (Extent(3 * MIB, 6 * MIB),)
    assert "lifeboat" in names(order(host).pending())
    # A staging that was cut has its room already.
    ship.swaps, ship.claimed = (), 2 * MIB
    ship.file.parent.mkdir(parents=True, exist_ok=True)
    with ship.file.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    assert "lifeboat" in names(order(host).pending())


def test_damage_on_the_disk_is_mended(host: Host, ship: FakeDisk) -> None:
    order(host).apply()
    lifeboat = berth.read_document(host.stage)
    assert lifeboat is not None
    for name in ("payload", "host"):
        with ship.file.open("r+b") as stream:
            stream.seek(lifeboat.part(name).extents[0].start)
            stream.write(b"!")
        assert ship.content(lifeboat, name).startswith(b"!")
        wanted = ["payload", "lifeboat", "payload copy"] if name == "payload" else ["lifeboat"]
        assert names(order(host).pending()) == wanted[:2]
        assert names(order(host).apply()) == wanted
        is_stowed(host, ship)


def test_write_that_does_not_arrive_is_told(host: Host, ship: FakeDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = []
    monkeypatch.setattr(stow._Writer, "_write_file", lambda *_unused: lost.append(1))
    with pytest.raises(Fault) as caught:
        order(host).apply()
    assert caught.value.id == "lifeboat.not_on_disk" and lost
    assert not (host.grub / "custom.cfg").exists() and host.next_entry == ""


def test_another_run_takes_the_payload_over(host: Host, ship: FakeDisk) -> None:
    order(host).apply()
    changes = names(order(host, run_id="run-2").apply())
    assert changes == ["plan.json", "lifeboat", "host.cpio", "entry"]
    is_stowed(host, ship)
    assert b'"run_id":"run-2"' in (host.stage / "lifeboat.json").read_bytes()


def test_former_secret_is_overwritten_where_it_was(host: Host, ship: FakeDisk) -> None:
    order(host).apply()
    former = berth.read_document(host.stage)
    assert former is not None
    host.capture.write_text(json.dumps({"hash": "another", "filling": "x" * 300_000}))
    order(host).apply()
    lifeboat = berth.read_document(host.stage)
    assert lifeboat is not None and lifeboat.part("host").extents != former.part("host").extents
    assert SECRET.encode() not in ship.file.read_bytes()


def test_plan_without_a_lifeboat_gives_the_room_back(host: Host, ship: FakeDisk) -> None:
    order(host).apply()
    changes = names(host.order().apply())
    assert changes == ["payload", "plan.json", "lifeboat", "host.cpio"]
    assert not ship.file.exists() and not (host.stage / "lifeboat.json").exists()
    assert host.order().apply() == []


def test_grubby_gets_one_initramfs_with_the_description(host: Host, ship: FakeDisk) -> None:
    from dataclasses import replace

    host.loader = replace(host.loader, reads_custom_config=False, grubby="grubby")
    known: list[str] = []

    def answer(argv: Any, stdin: bytes | None) -> Any:
        if argv[0] != "grubby":
            return host.answer(argv, stdin)
        if argv[1].startswith("--info"):
            return "title=dualroot-convert\n" if known else ""
        known.append(argv[1])
        return None

    host.runner.handler = answer
    assert "combined.img" in names(order(host).apply())
    combined = (host.boot / "combined.img").read_bytes()
    assert combined.endswith((host.boot / "host.cpio").read_bytes()) and b'{"disk_bytes"' in combined
    is_stowed(host, ship)
    assert order(host).apply() == []


def test_disarm_overwrites_and_gives_back(host: Host, ship: FakeDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    order(host).apply()
    order(host).arm()
    seen: list[bytes] = []
    real = claim.release
    monkeypatch.setattr(staged_lifeboat.claim, "release", lambda path: (seen.append(path.read_bytes()), real(path))[1])
    assert host.disarm() == ["one-shot", "entry", "lifeboat", "folder", "folder"]
    assert SECRET.encode() not in seen[0] and FILES["vmlinuz"] in seen[0]
    assert not ship.file.exists()
    assert host.disarm() == []


class Cut(BaseException):
    """The power is gone: nothing that catches exceptions goes on."""


class Cuts:
    """Counts what changes the disk, and cuts at one of them, before it happens."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.at = -1
        for module, name in (
            (os, "replace"),
            (os, "rename"),
            (os, "unlink"),
            (os, "link"),
            (os, "fsync"),
            (os, "mkdir"),
        ):
            monkeypatch.setattr(module, name, self._counted(getattr(module, name)))
        monkeypatch.setattr(stow._Writer, "_write_file", self._counted(stow._Writer._write_file))
        monkeypatch.setattr(disk, "write_extent", self._counted(disk.write_extent))
        monkeypatch.setattr(claim, "claim", self._counted(claim.claim))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            if self.count == self.at:
                raise Cut
            self.count += 1
            return real(*arguments, **more)

        return counted

    def each(self) -> Iterator[int]:
        """Yield every point, until one run went through without a cut."""
        point = 0
        while True:
            self.count, self.at = 0, point
            yield point
            if self.count < point:
                return
            point += 1


def run_until_cut(work: Callable[[], Any]) -> bool:
    try:
        work()
    except Cut:
        return True
    return False


def stage_and_arm(host: Host, **changes: Any) -> None:
    one = order(host, **changes)
    if one.apply() or not one.is_armed():
        one.arm()


@pytest.mark.parametrize("former", [None, "run-0"])
def test_cut_anywhere_in_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, former: str | None) -> None:
    """The old system is started next, unarmed or (at the end) with one whole staging; the next run finishes."""
    points = 0
    for point in range(1000):
        with monkeypatch.context() as patch:
            host = Host(tmp_path / f"{former}-{point}", patch)
            ship = FakeDisk(host.state, patch)
            if former:
                stage_and_arm(host, run_id=former)
            with patch.context() as inner:
                cuts = Cuts(inner)
                cuts.at = point
                was_cut = run_until_cut(lambda host=host: stage_and_arm(host))
            if not was_cut:
                assert points > 25
                return
            points += 1
            assert (host.grub / "grub.cfg").read_text() == "the old configuration"
            if host.next_entry:
                # Armed: all is of one run, and proven.
                text = (host.stage / "plan.json").read_text()
                assert former and f'"run_id": "{former}"' in text and SECRET.encode() in ship.file.read_bytes()
            stage_and_arm(host)
            is_stowed(host, ship)
            assert host.next_entry and order(host).pending() == []
            assert not [path for path in host.boot.iterdir() if path.name.endswith(".new")]
    raise AssertionError("it never ends")


def test_cut_anywhere_in_disarming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for point in range(1000):
        with monkeypatch.context() as patch:
            host = Host(tmp_path / str(point), patch)
            ship = FakeDisk(host.state, patch)
            stage_and_arm(host)
            with patch.context() as inner:
                cuts = Cuts(inner)
                cuts.at = point
                was_cut = run_until_cut(lambda host=host: host.disarm())
            if not was_cut:
                assert point > 8
                return
            # The one-shot went first, so the old system starts whatever is left.
            assert host.next_entry == ""
            if ship.file.exists() and not (host.stage / "lifeboat.json").exists():
                assert SECRET.encode() not in ship.file.read_bytes()
            host.disarm()
            assert not ship.file.exists() and not host.stage.exists() and not host.boot.exists()
            assert disarming.remains(host.runner, host.boot, host.state) == []
    raise AssertionError("it never ends")
