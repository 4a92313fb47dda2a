# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commit overwrites what the lifeboat holds of the host, and nothing else, whatever lies there by now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept_old import OldRoot
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import berth, disk, erase, ranges
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Lifeboat, Part

from tests.support import layouts
from tests.support.fake_runner import FakeRunner, failed
from tests.support.layouts import resolved

MIB = 1 << 20
RUN = "run-1"
SEGMENTS = (
    *("lvm", "pvs", "--segments", "--reportformat", "json", "--units", "b", "--nosuffix", "--options"),
    "pv_name,vg_name,vg_extent_size,pe_start,pvseg_start,pvseg_size,lv_name",
)


class Host:
    """A new system in a folder: its /sys, its disk as a plain file, and the run's folder."""

    def __init__(self, root: Path, layout: str) -> None:
        self.root = root
        self.resolved = resolved(layout)
        self.folder = root / "runs" / RUN
        self.folder.mkdir(parents=True)
        self.node = "/dev/vda"
        self.image = root / "dev/vda"
        self.image.parent.mkdir()
        with self.image.open("wb") as stream:
            stream.truncate(self.resolved.disk_bytes)
        self._file("sys/class/block/vda/size", str(self.resolved.disk_bytes // 512))
        self._file("sys/block/vda/size", str(self.resolved.disk_bytes // 512))
        self._file("sys/block/vda/queue/logical_block_size", "512")
        self.proc("")
        for part in self.resolved.partitions:
            if part.at == "convert":
                self.partition(part.number, part.start_lba * 512, part.sectors * 512)

    def _file(self, path: str, content: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content + "\n")

    def proc(self, mountinfo: str) -> None:
        self._file("proc/self/mountinfo", mountinfo)

    def partition(self, number: int, start: int, size: int) -> None:
        base = f"sys/block/vda/vda{number}"
        for name, value in (("partition", number), ("start", start // 512), ("size", size // 512)):
            self._file(f"{base}/{name}", str(value))

    def place(self) -> int:
        """Return a place of the disk that the layout leaves alone until commit."""
        largest = max(ranges.allowed(self.resolved), key=lambda one: one.length)
        return (largest.start + largest.length // 2) // MIB * MIB

    def describe(self, start: int | None = None, size: int | None = None) -> Lifeboat:
        position = self.place() if start is None else start
        parts = {}
        for name, length in (("core", MIB), ("kernel", MIB), ("initrd", MIB), ("host", 2 * MIB), ("payload", MIB)):
            parts[name] = Part(
                name, length, "0" * 64 if name in ("kernel", "initrd", "payload") else "", (Extent(position, length),)
            )
            position += length
        parts["journal"] = Part("journal", MIB, "", (Extent(position, MIB),))
        lifeboat = Lifeboat(RUN, "0" * 64, size or self.resolved.disk_bytes, 512, parts)
        berth.write_document(self.folder, lifeboat)
        for part in parts.values():
            for one in part.extents:
                with self.image.open("r+b") as stream:
                    stream.seek(one.start)
                    stream.write(part.name.encode() * (one.length // len(part.name)))
        return lifeboat

    def look(self, runner: FakeRunner | None = None) -> erase.Erasure:
        return erase.look(runner or FakeRunner(), self.resolved, self.node, self.folder, RUN, self.root)

    def erase(self, found: erase.Erasure) -> None:
        erase.erase(found, str(self.image), self.folder)

    def content(self, part: Part) -> bytes:
        return b"".join(bytes(piece) for piece in disk.read_extents(self.image, part.extents, part.size))


def test_host_part_and_journal_are_overwritten_and_nothing_else(tmp_path: Path) -> None:
    host = Host(tmp_path, "va")
    lifeboat = host.describe()
    found = host.look()
    assert set(found.erased) == {*lifeboat.part("host").extents, *lifeboat.part("journal").extents}
    assert found.kept == ()
    host.erase(found)
    for name, part in lifeboat.parts.items():
        assert any(host.content(part)) == (name not in ("host", "journal")), name
    # The second run finds nothing to do.
    assert host.look() == erase.Erasure()
    host.erase(host.look())


def test_no_lifeboat_or_one_of_another_run(tmp_path: Path) -> None:
    host = Host(tmp_path, "va")
    assert host.look() == erase.Erasure()
    host.describe()
    assert erase.look(FakeRunner(), host.resolved, host.node, host.folder, "run-2", host.root) == erase.Erasure()
    (host.folder / "lifeboat.json").write_text("{}")
    assert host.look() == erase.Erasure()


def test_partition_that_is_there_by_now_is_left_alone(tmp_path: Path) -> None:
    """Commit was cut after it had made the second group."""
    host = Host(tmp_path, "va")
    lifeboat = host.describe()
    part = next(one for one in host.resolved.partitions if one.at == "commit")
    host.partition(part.number, part.start_lba * 512, part.sectors * 512)
    runner = FakeRunner({SEGMENTS: {"report": [{"pvseg": []}]}})
    found = host.look(runner)
    assert found.erased == () and [user for _one, user in found.kept] == [f"partition vda{part.number}"] * 2
    before = {name: host.content(one) for name, one in lifeboat.parts.items()}
    host.erase(found)
    assert {name: host.content(one) for name, one in lifeboat.parts.items()} == before
    assert host.look() == erase.Erasure()


def test_the_old_root_goes_with_its_file_unless_somebody_has_it_mounted(tmp_path: Path) -> None:
    host = Host(tmp_path, "va")
    old = OldRoot(9, MIB, 8 << 30, 1 << 30, True)
    host.resolved = resolve(load(layouts.document("va")), DiskGeometry(8 << 30), RUN, None, old)
    (kept,) = host.resolved.until_commit
    for path in sorted((tmp_path / "sys/block/vda").glob("vda*")):
        shutil.rmtree(path)
    host.partition(9, kept.start_lba * 512, kept.sectors * 512)
    lifeboat = host.describe(kept.start_lba * 512 + 100 * MIB)
    assert set(host.look().erased) == {*lifeboat.part("host").extents, *lifeboat.part("journal").extents}
    host._file("sys/class/block/vda9/dev", "254:9")
    host.proc("99 28 254:9 / /mnt rw - ext4 /dev/vda9 rw")
    runner = FakeRunner({SEGMENTS: {"report": [{"pvseg": []}]}})
    found = host.look(runner)
    assert found.erased == () and [user for _one, user in found.kept] == ["partition vda9"] * 2


def test_place_of_the_layout_is_never_written_to(tmp_path: Path) -> None:
    host = Host(tmp_path, "va")
    part = next(one for one in host.resolved.partitions if one.id == "va")
    host.describe(start=part.start_lba * 512)
    assert {user for _one, user in host.look().kept} == {"the layout"}


def test_another_disk_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path, "va")
    host.describe(size=host.resolved.disk_bytes + 4096)
    with pytest.raises(Fault) as caught:
        host.look()
    assert caught.value.id == "lifeboat.not_on_disk"


def volume_runner(host: Host, content: str) -> FakeRunner:
    """Answer for a group whose volumes lie as they were resolved."""
    group = host.resolved.volume_groups[0]
    rows = [
        {
            "pv_name": "/dev/vda4",
            "vg_name": group.name,
            "vg_extent_size": str(group.extent_bytes),
            "pe_start": str(MIB),
            "pvseg_start": str(volume.first),
            "pvseg_size": str(volume.extents),
            "lv_name": volume.name,
        }
        for volume in group.volumes
    ]
    found = f"TYPE={content}\n" if content else failed(2)
    device = f"/dev/{group.name}/root_b"
    return FakeRunner(
        {
            SEGMENTS: {"report": [{"pvseg": rows}]},
            ("blkid", "-p", "-o", "export", device): found,
        }
    )


@pytest.mark.parametrize("content", ["", "ext4"])
def test_volume_of_slot_b(tmp_path: Path, content: str) -> None:
    """With both slots in one group the lifeboat lies in a volume that exists, but has no content until commit."""
    host = Host(tmp_path, "dual")
    number = next(one.number for one in host.resolved.partitions if one.id == "system")
    assert number == 4
    lifeboat = host.describe()
    found = host.look(volume_runner(host, content))
    if content:
        assert found.erased == () and {user for _one, user in found.kept} == {"volume dualroot/root_b (ext4)"}
    else:
        assert len(found.erased) == 2 and found.kept == ()
        host.erase(found)
        assert not any(host.content(lifeboat.part("host")))


def test_volume_that_is_mounted_is_left_alone(tmp_path: Path) -> None:
    host = Host(tmp_path, "dual")
    host.describe()
    host._file("sys/class/block/dm-1/dev", "254:1")
    (host.root / "dev/dualroot").mkdir()
    (host.root / "dev/dm-1").write_text("")
    (host.root / "dev/dualroot/root_b").symlink_to("../dm-1")
    host.proc("30 1 254:1 / /mnt rw - ext4 /dev/mapper/dualroot-root_b rw")
    assert {user for _one, user in host.look(volume_runner(host, "")).kept} == {"volume dualroot/root_b"}


def test_write_that_does_not_arrive_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, "va")
    host.describe()
    found = host.look()
    monkeypatch.setattr(disk, "write_extent", lambda *_unused: None)
    with pytest.raises(Fault) as caught:
        host.erase(found)
    assert caught.value.id == "lifeboat.not_on_disk"
    assert (host.folder / "lifeboat.json").exists()
