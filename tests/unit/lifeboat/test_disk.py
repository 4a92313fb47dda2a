# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts on a plain file instead of a disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import disk
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import Extent, Part

MIB = 1 << 20
CONTENT = os.urandom(3 * MIB + 5000)
EXTENTS = (Extent(8 * MIB, 2 * MIB + 8192), Extent(4096, 4096), Extent(MIB, MIB), Extent(12 * MIB, MIB))
PART = Part("payload", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), EXTENTS)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(b"\xaa" * (16 * MIB))
    return path


def pieces(size: int) -> list[bytes]:
    return [CONTENT[start : start + size] for start in range(0, len(CONTENT), size)]


@pytest.mark.parametrize("size", [len(CONTENT), MIB, 4096 * 3 + 7, 10 * MIB])
def test_reads_back_what_it_wrote(node: Path, size: int) -> None:
    seen: list[tuple[int, int]] = []
    disk.write_part(node, PART, pieces(size), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (PART.size, PART.size)
    assert b"".join(bytes(one) for one in disk.read_extents(node, EXTENTS, PART.size)) == CONTENT
    disk.verify_part(node, PART)
    on_disk = node.read_bytes()
    assert on_disk[8 * MIB : 10 * MIB + 8192] + on_disk[4096:8192] == CONTENT[: 2 * MIB + 8192 + 4096]
    # Only its own places.
    assert on_disk[:4096] == b"\xaa" * 4096


def test_reads_into_buffers_of_any_size(node: Path) -> None:
    disk.write_part(node, PART, [CONTENT])
    found = bytearray()
    buffer = memoryview(bytearray(77777))
    with disk.open_part(node, PART) as reader:
        assert reader.size == len(CONTENT)
        while count := reader.readinto(buffer):
            found += buffer[:count]
    assert bytes(found) == CONTENT
    reader.close()


def test_pads_the_last_block_with_zeros(node: Path) -> None:
    part = Part("host", 5, "", (Extent(4096, 8192),))
    disk.write_part(node, part, [b"ab", b"cde"])
    assert node.read_bytes()[4096:12288] == b"abcde".ljust(4096, b"\0") + b"\xaa" * 4096


@pytest.mark.parametrize(("content", "problem"), [(CONTENT[:-1], "too early"), (CONTENT + b"x", "more bytes")])
def test_refuses_a_source_of_another_size(node: Path, content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        disk.write_part(node, PART, [content])


def test_a_flipped_bit_is_a_fault(node: Path) -> None:
    disk.write_part(node, PART, [CONTENT])
    with node.open("r+b") as file:
        file.seek(4096 + 100)
        byte = file.read(1)[0]
        file.seek(4096 + 100)
        file.write(bytes([byte ^ 1]))
    with pytest.raises(Fault) as caught:
        disk.verify_part(node, PART)
    assert caught.value.id == "lifeboat.damaged"
    assert PART.sha256 in caught.value.what


def test_a_disk_that_is_too_small_is_a_fault(node: Path) -> None:
    with pytest.raises(Fault) as caught:
        disk.verify_part(node, Part("payload", MIB, "0" * 64, (Extent(15 * MIB + 4096, MIB),)))
    assert caught.value.id == "lifeboat.damaged"
    assert "too early" in caught.value.what


def test_writes_whole_blocks_only(node: Path) -> None:
    disk.write_extent(node, 4096, b"x" * 4096)
    assert node.read_bytes()[4096:8192] == b"x" * 4096
    for start, data in ((1, b"x" * 4096), (0, b"x")):
        with pytest.raises(ValueError, match="whole blocks"):
            disk.write_extent(node, start, data)
