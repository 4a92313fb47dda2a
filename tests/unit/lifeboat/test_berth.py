# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ground of a lifeboat on a running host: only what is surely free, and on the planned disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import identity
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.usage import Mount
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import berth, claim, model, stow
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent
from ansible_collections.dualroot.migrate.plugins.module_utils.probe.mounts import Place

from tests.support.fake_runner import FakeRunner
from tests.unit.plan import sample

MIB = 1 << 20
DISK = 8 << 30


class Host:
    """An old system: /dev/vda with one partition from the first MiB on, in /sys and in the table."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.write("sys/class/block/vda/size", DISK // 512)
        self.write("sys/block/vda/size", DISK // 512)
        self.write("sys/block/vda/queue/logical_block_size", 512)
        for name, value in (("partition", 1), ("start", 2048), ("size", 4 * 1024 * 2048)):
            self.write(f"sys/block/vda/vda1/{name}", value)
        self.image = root / "dev/vda"
        self.image.parent.mkdir()
        with self.image.open("wb") as stream:
            stream.truncate(DISK)
        self.stack = ("part",)
        self.device = "/dev/vda1"
        monkeypatch.setattr(berth, "place_of", lambda *_unused: self.place())
        monkeypatch.setattr(identity, "find", lambda *_unused, **_too: "/dev/vda")

    def write(self, path: str, value: Any) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{value}\n")

    def place(self) -> Place:
        mount = Mount("252:1", "/", "ext4", self.device, "rw", "/")
        return Place(mount, self.device, "uuid", "/var/lib/dualroot", self.stack, ("vda",), 1, 1)

    def table(self, first: int, sectors: int) -> None:
        """Write an MBR with one entry that the kernel does not know yet."""
        entry = bytes([0, 0, 0, 0, 0x83, 0, 0, 0]) + first.to_bytes(4, "little") + sectors.to_bytes(4, "little")
        with self.image.open("r+b") as stream:
            stream.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")

    def user_of(self, start: int, length: int = MIB) -> str:
        return berth.user_of("/dev/vda", Extent(start, length), self.root)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_only_unpartitioned_space_has_no_user(host: Host) -> None:
    end = MIB + 4 * 1024 * MIB
    assert host.user_of(end) == ""
    assert host.user_of(end - 4096) == "partition vda1"
    assert host.user_of(MIB) == "partition vda1"
    assert host.user_of(0) == host.user_of(DISK - MIB, 4096) == host.user_of(DISK) == "the edge of the disk"
    host.table(first=(6 << 30) // 512, sectors=2048)
    assert host.user_of((6 << 30) - 4096, 8192) == "partition 1 of the table"
    assert host.user_of((6 << 30) + MIB) == ""


def plan(**lifeboat: Any) -> dict[str, Any]:
    document = sample.plan("va")
    return {**document, "lifeboat": {**document["lifeboat"], **lifeboat}}


def test_ground_of_a_plan(host: Host, tmp_path: Path) -> None:
    gap, swap = [5 << 30, 64 * MIB], [6 << 30, MIB]
    found = berth.ground_of(FakeRunner(), plan(gaps=[gap], swaps=[swap]), tmp_path, host.root)
    assert found == stow.Ground("/dev/vda", MIB, tmp_path / "lifeboat", (Extent(*gap),), (Extent(*swap),))


def test_planned_gap_that_is_none_is_refused(host: Host, tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        berth.ground_of(FakeRunner(), plan(gaps=[[2 << 30, MIB]]), tmp_path, host.root)
    assert caught.value.id == "lifeboat.place_taken" and "vda1" in caught.value.what


@pytest.mark.parametrize(("stack", "device"), [(("lvm", "part"), "/dev/mapper/vg-root"), (("part",), "/dev/vdb1")])
def test_root_that_is_no_partition_of_this_disk_has_no_file(
    host: Host, tmp_path: Path, stack: tuple[str, ...], device: str
) -> None:
    host.stack, host.device = stack, device
    assert berth.ground_of(FakeRunner(), plan(), tmp_path, host.root).partition_start is None


def test_ground_that_is_left_without_a_plan(host: Host, tmp_path: Path) -> None:
    """Disarming overwrites the host part in unpartitioned space only where nobody has made a partition since."""
    parts = {
        name: model.Part(name, 4096, "0" * 64, (Extent((5 << 30) + 4096 * index, 4096),))
        for index, name in enumerate(model.PARTS)
    }
    lifeboat = model.Lifeboat("run-1", "0" * 64, DISK, 512, parts)
    own = parts["host"].extents
    left = berth.ground_left(FakeRunner(), lifeboat, tmp_path, host.root)
    assert left is not None and left.gaps == own and left.partition_start == MIB and left.swaps == ()
    host.table(first=own[0].start // 512, sectors=8)
    left = berth.ground_left(FakeRunner(), lifeboat, tmp_path, host.root)
    assert left is not None and left.gaps == ()
    other = model.Lifeboat("run-1", "0" * 64, DISK // 2, 512, parts)
    left = berth.ground_left(FakeRunner(), other, tmp_path, host.root)
    assert left is not None and left.gaps == ()


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    seen: list[tuple[int, int, int]] = []

    def claimed(_path: Path, needed: int, _allowed: Any, _start: int, *, least: int, whole: int) -> None:
        seen.append((needed, least, whole))

    monkeypatch.setattr(claim, "claim", claimed)
    return seen


def needs(document: dict[str, Any]) -> tuple[int, int]:
    sizes = model.sizes_of(document, 65536)
    return model.needed_bytes(sizes), model.needed_bytes({name: sizes[name] for name in model.WHOLE})


def test_the_file_gets_what_gaps_do_not_have(claims: list[tuple[int, int, int]]) -> None:
    document = plan()
    needed, whole = needs(document)
    gap, swap = Extent(5 << 30, MIB), Extent(6 << 30, 2 * MIB)
    berth.Berth(document, stow.Ground("/dev/vda", MIB, gaps=(gap,), swaps=(swap,))).claim(65536)
    berth.Berth(document, stow.Ground("/dev/vda", MIB, gaps=(Extent(5 << 30, 1 << 29),))).claim(65536)
    berth.Berth(document, stow.Ground("/dev/vda", None, swaps=(Extent(6 << 30, 1 << 30),))).claim(65536)
    assert claims[0] == (needed - MIB, needed - 3 * MIB, whole)
    if needed > 1 << 29:
        # A gap that holds the kernel in one piece spares the file that.
        assert claims[1] == (needed - (1 << 29), needed - (1 << 29), 0)
    assert len(claims) == (2 if needed > 1 << 29 else 1)


def test_places_are_the_same_whatever_more_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut may leave more blocks in the file than are needed; what is read must not depend on that."""
    document = plan()
    needed, _whole = needs(document)
    exact = (Extent(4 << 30, needed),)
    monkeypatch.setattr(claim, "held", lambda *_unused: exact)
    one = berth.Berth(document, stow.Ground("/dev/vda", MIB))
    placed = one.place(65536)
    monkeypatch.setattr(claim, "held", lambda *_unused: (Extent(1 << 30, 4096 * 300), Extent(4 << 30, needed + MIB)))
    assert one.place(65536) == placed
    assert placed.run_id == document["run_id"] and placed.plan_digest == document["digest"]
    assert placed.part("payload").sha256 == document["payload"]["sha256"] and placed.part("host").sha256 == ""
    assert model.Lifeboat.from_document(placed.to_document()) == placed


def test_too_little_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "held", lambda *_unused: (Extent(4 << 30, MIB),))
    with pytest.raises(Fault, match=r"lifeboat\.no_room"):
        berth.Berth(plan(), stow.Ground("/dev/vda", MIB)).place(65536)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"\xff"])
def test_description_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "lifeboat.json").write_bytes(content)
    assert berth.read_document(tmp_path) is None
