# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A place that became somebody else's between staging and stage two is never written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import claim, file_extents, own
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Lifeboat, Part

MIB = 1 << 20
GIB = 1 << 30
#: /dev/vda: the root in the first GiB, swap of 16 MiB, the rest unpartitioned.
SWAP = Extent(GIB, 16 * MIB)
PLAN: dict[str, Any] = {"gaps": [[2 * GIB, MIB]], "swaps": [[GIB + MIB, 8 * MIB]]}


class Host:
    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.file = root / "lifeboat"
        self.file.write_bytes(b"")
        self.write("sys/class/block/vda/size", 8 * GIB // 512)
        self.write("sys/block/vda/size", 8 * GIB // 512)
        self.write("sys/block/vda/queue/logical_block_size", 512)
        self.partition(1, MIB, GIB - MIB)
        self.partition(2, SWAP.start, SWAP.length)
        self.disk = root / "dev/vda"
        self.disk.parent.mkdir()
        with self.disk.open("wb") as file:
            file.truncate(8 * GIB)
        self.fill(SWAP.start + 4086, b"SWAPSPACE2")
        #: Where the blocks of the file are, on the file system of /dev/vda1.
        self.mapped = [file_extents.Mapped(0, 99 * MIB, 2 * MIB)]
        monkeypatch.setattr(claim.file_extents, "read_map", lambda *_unused: self.mapped)

    def write(self, path: str, value: Any) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{value}\n")

    def partition(self, number: int, start: int, length: int) -> None:
        for name, value in (("partition", number), ("start", start // 512), ("size", length // 512)):
            self.write(f"sys/block/vda/vda{number}/{name}", value)

    def fill(self, offset: int, content: bytes) -> None:
        with self.disk.open("r+b") as file:
            file.seek(offset)
            file.write(content)

    def require(self, device: str = "/dev/vda1", **extents: Extent) -> None:
        """Ask for parts at these places, by name."""
        own.require("/dev/vda", _lifeboat(extents), PLAN, self.file, device, self.root)


def _lifeboat(extents: dict[str, Extent]) -> Lifeboat:
    parts = {name: Part(name, one.length, "", (one,)) for name, one in extents.items()}
    # Made without its checks: one part is enough here.
    lifeboat = object.__new__(Lifeboat)
    object.__setattr__(lifeboat, "parts", parts)
    return lifeboat


IN_FILE = Extent(100 * MIB, 2 * MIB)
IN_GAP = Extent(2 * GIB, MIB)
IN_SWAP = Extent(GIB + MIB, 8 * MIB)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_nothing_has_changed(host: Host) -> None:
    host.require(kernel=IN_FILE, journal=IN_GAP, payload=IN_SWAP)


@pytest.mark.parametrize("how", ["moved", "removed", "elsewhere"])
def test_blocks_that_the_file_no_longer_has(host: Host, how: str) -> None:
    device = "/dev/vda1"
    if how == "moved":
        host.mapped = [file_extents.Mapped(0, 99 * MIB, MIB)]
    elif how == "removed":
        host.file.unlink()
    else:
        device = "/dev/vdb1"
    with pytest.raises(Fault) as caught:
        host.require(device, kernel=IN_FILE)
    assert caught.value.id == "lifeboat.place_taken"
    start = IN_FILE.start + (MIB if how == "moved" else 0)
    assert f"bytes {start} to {IN_FILE.end} of /dev/vda, by the old system" in caught.value.what


def test_a_gap_that_got_a_partition(host: Host) -> None:
    host.partition(3, 2 * GIB, MIB)
    with pytest.raises(Fault, match="partition vda3"):
        host.require(journal=IN_GAP)


@pytest.mark.parametrize("mark", [b"S1SUSPEND\0", bytes(10)])
def test_swap_that_is_something_else_now(host: Host, mark: bytes) -> None:
    host.fill(SWAP.start + 4086, mark)
    with pytest.raises(Fault, match="something that is not swap"):
        host.require(payload=IN_SWAP)


def test_swap_that_is_smaller_now(host: Host) -> None:
    host.partition(2, SWAP.start, 4 * MIB)
    with pytest.raises(Fault, match="something that is not swap"):
        host.require(payload=IN_SWAP)


def test_shreds_what_lies_in_swap_alone(host: Host) -> None:
    host.fill(IN_SWAP.start, b"secret" * 1000)
    host.fill(IN_FILE.start, b"secret")
    part = Part("host", IN_SWAP.length + IN_FILE.length, "", (IN_SWAP, IN_FILE))
    own.shred_in_swap("/dev/vda", part, PLAN["swaps"], host.root)
    with host.disk.open("rb") as file:
        file.seek(IN_SWAP.start)
        assert not any(file.read(IN_SWAP.length))
        file.seek(IN_FILE.start)
        assert file.read(6) == b"secret"


def test_never_shreds_what_is_no_swap(host: Host) -> None:
    host.fill(SWAP.start + 4086, bytes(10))
    host.fill(IN_SWAP.start, b"data")
    own.shred_in_swap("/dev/vda", Part("host", IN_SWAP.length, "", (IN_SWAP,)), PLAN["swaps"], host.root)
    with host.disk.open("rb") as file:
        file.seek(IN_SWAP.start)
        assert file.read(4) == b"data"
