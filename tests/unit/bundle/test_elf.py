# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.bundle import elf
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault


def program(path: Path, libraries: list[str], loader: str = "", runpath: str = "") -> None:
    """Write the smallest file with an ELF header, a loader and a dynamic section."""
    strings = b"\0" + b"\0".join(name.encode() for name in [*libraries, runpath]) + b"\0"
    offsets, at = [], 1
    for name in [*libraries, runpath]:
        offsets.append(at)
        at += len(name) + 1
    headers, base = 3, 64 + 3 * 56
    tags = [(elf.DT_STRTAB, 0x1000 + base), *((elf.DT_NEEDED, offset) for offset in offsets[:-1])]
    if runpath:
        tags.append((elf.DT_RUNPATH, offsets[-1]))
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in [*tags, (0, 0)])
    interpreter = loader.encode() + b"\0"
    starts = (base + len(strings), base + len(strings) + len(dynamic))
    size = starts[1] + len(interpreter)
    rows = [
        (elf.PT_LOAD, 5, 0, 0x1000, 0x1000, size, size, 4096),
        (elf.PT_DYNAMIC, 6, starts[0], 0x1000 + starts[0], 0, len(dynamic), len(dynamic), 8),
        (elf.PT_INTERP if loader else 0, 4, starts[1], 0, 0, len(interpreter), len(interpreter), 1),
    ]
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        header + b"".join(struct.pack("<IIQQQQQQ", *row) for row in rows) + strings + dynamic + interpreter
    )


def test_libraries_loader_and_folders_are_read(tmp_path: Path) -> None:
    program(tmp_path / "tool", ["liba.so.1", "libc.so.6"], "/lib64/ld.so", "$ORIGIN/../lib:/opt")
    assert elf.read_needs(tmp_path / "tool") == elf.Needs(
        ("liba.so.1", "libc.so.6"), ("$ORIGIN/../lib", "/opt"), "/lib64/ld.so"
    )


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01"])
def test_other_files_need_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert elf.read_needs(tmp_path / "file") is None


def test_what_libraries_need_comes_along_with_their_links(tmp_path: Path) -> None:
    (tmp_path / "lib64").symlink_to("usr/lib64")
    program(tmp_path / "usr/bin/tool", ["liba.so.1"], "/lib64/ld.so")
    program(tmp_path / "usr/lib/x86/liba.so.1.2", ["libb.so"], runpath="$ORIGIN/private")
    (tmp_path / "usr/lib/x86/liba.so.1").symlink_to("liba.so.1.2")
    program(tmp_path / "usr/lib/x86/private/libb.so", [])
    program(tmp_path / "usr/lib/x86/ld-real.so", [])
    (tmp_path / "usr/lib64").mkdir()
    (tmp_path / "usr/lib64/ld.so").symlink_to("/usr/lib/x86/ld-real.so")
    found = elf.closure(tmp_path, [tmp_path / "usr/bin/tool"], ["/usr/lib/x86"])
    assert sorted(str(path.relative_to(tmp_path)) for path in found) == [
        "usr/lib/x86/liba.so.1",
        "usr/lib/x86/private/libb.so",
        "usr/lib64/ld.so",
    ]


def test_a_missing_library_is_a_fault_of_the_build_and_not_of_the_night(tmp_path: Path) -> None:
    program(tmp_path / "usr/bin/tool", ["libgone.so.1"])
    with pytest.raises(Fault) as caught:
        elf.closure(tmp_path, [tmp_path / "usr/bin/tool"], ["/usr/lib"])
    assert caught.value.id == "bundle.library_missing"
    assert "libgone.so.1" in caught.value.what
    assert "/usr/bin/tool" in caught.value.what


def test_links_are_resolved_inside_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/up").symlink_to("../../../../usr/x")
    (tmp_path / "etc/loop").symlink_to("loop")
    assert elf.inside(tmp_path, "/etc/up/y") == tmp_path / "usr/x/y"
    assert elf.inside(tmp_path, "/../../etc/z") == tmp_path / "etc/z"
    elf.inside(tmp_path, "/etc/loop")
