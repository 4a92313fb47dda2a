# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scanner against archives that Python's tarfile makes, whole and mutilated."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.scanner import BLOCK, Scanner
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

Change = Callable[[tarfile.TarInfo], None]


def archive(*members: tuple[str, dict[str, object], bytes], style: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=style) as tar:
        for name, fields, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def scan(content: bytes, chunk: int = 1 << 20) -> Scanner:
    scanner = Scanner()
    for start in range(0, len(content), chunk):
        scanner.feed(memoryview(content[start : start + chunk]))
    return scanner


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> dict[str, object]:
    return {"type": kind, "linkname": target}


@pytest.mark.parametrize("chunk", [BLOCK, 3 * BLOCK, 1 << 20])
@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_counts_members_whatever_the_chunks(chunk: int, style: int) -> None:
    long = "d/" + "n" * (95 if style == tarfile.USTAR_FORMAT else 300)
    content = archive(
        ("./", {"type": tarfile.DIRTYPE}, b""),
        ("./a", {}, b"x" * 5000),
        (long, {}, b"y" * 512),
        ("l", link("a"), b""),
        ("h", link("./a", tarfile.LNKTYPE), b""),
        ("null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, b""),
        style=style,
    )
    scanner = scan(content, chunk)
    assert (scanner.entries, scanner.ended) == (6, True)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("/etc/passwd", {}, b"x")], "absolute path"),
        ([("a/../../b", {}, b"x")], "'..'"),
        ([("..", {"type": tarfile.DIRTYPE}, b"")], "'..'"),
        ([("n" * 200 + "/../x", {}, b"x")], "'..'"),
        ([("h", link("/etc/shadow", tarfile.LNKTYPE), b"")], "absolute path"),
        ([("h", link("../x", tarfile.LNKTYPE), b"")], "'..'"),
        ([("l", link(".."), b"")], "outside of the target"),
        ([("a/b/l", link("../../../x"), b"")], "outside of the target"),
        ([("a/l", link("x/../../../y" + "z" * 200), b"")], "outside of the target"),
        ([("l", link("/../x"), b"")], "outside of the target"),
        ([("l", link("/etc"), b""), ("l/passwd", {}, b"x")], "behind the link"),
        ([("d/l", link("x"), b""), ("./d//l/a/b", {}, b"x")], "behind the link"),
        ([("l", link("/etc"), b""), ("h", link("l/shadow", tarfile.LNKTYPE), b"")], "behind the link"),
        ([("d/f", {}, b"x"), ("d", link("/etc"), b"")], "where a directory was"),
    ],
)
@pytest.mark.parametrize("style", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_refuses_what_leaves_the_target(
    members: list[tuple[str, dict[str, object], bytes]], reason: str, style: int
) -> None:
    with pytest.raises(Fault) as caught:
        scan(archive(*members, style=style))
    assert caught.value.id == "archive.unsafe_member"
    assert reason in caught.value.particulars["reason"]


@pytest.mark.parametrize(
    ("path", "target"),
    [("bin", "usr/bin"), ("etc/mtab", "../proc/self/mounts"), ("a/b/c", "../../x/../y"), ("l", "/usr/bin/a")],
)
def test_accepts_the_links_of_a_root_file_system(path: str, target: str) -> None:
    assert scan(archive((path, link(target), b""))).entries == 1


def test_nothing_after_the_end_mark_counts() -> None:
    content = archive(("a", {}, b"x")) + archive(("/etc/passwd", {}, b"x"))
    assert scan(content).entries == 1


def test_a_stream_without_end_mark_has_not_ended() -> None:
    assert not scan(archive(("a", {}, b"x" * 600))[: 3 * BLOCK]).ended


def mutilated(change: Callable[[bytearray], None], *, resum: bool = True) -> bytes:
    content = bytearray(archive(("file", {}, b"x" * 100), style=tarfile.USTAR_FORMAT))
    change(content)
    if resum:
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:BLOCK])
    return bytes(content)


@pytest.mark.parametrize(
    ("change", "resum", "reason"),
    [
        (lambda block: block.__setitem__(5, 66), False, "checksum"),
        (lambda block: block.__setitem__(156, ord("M")), True, "unknown type"),
        (lambda block: block.__setitem__(156, ord("5")), True, "data with"),
        (lambda block: block.__setitem__(slice(124, 130), b"abcdef"), True, "no number"),
        (lambda block: block.__setitem__(124, 0xFF), True, "negative"),
        (lambda block: block.__setitem__(156, ord("x")), True, "not well formed"),
        (lambda block: block.__setitem__(slice(100, 600), b"\0" * 500), False, "checksum"),
    ],
)
def test_refuses_what_tar_and_a_strict_reader_may_read_differently(
    change: Callable[[bytearray], None], resum: bool, reason: str
) -> None:
    with pytest.raises(Fault) as caught:
        scan(mutilated(change, resum=resum))
    assert caught.value.id == "archive.malformed"
    assert reason in caught.value.particulars["reason"]


def test_follows_a_size_that_only_the_extended_header_has() -> None:
    inner = archive(("big", {"pax_headers": {"size": "1024", "comment": "a\nb=c"}}, b"x" * 1024))
    # The member's own header says 0; a scanner that believes it takes data for headers.
    at = inner.index(b"big\0")
    block = bytearray(inner[at : at + BLOCK])
    block[124:136] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    assert scan(inner[:at] + bytes(block) + inner[at + BLOCK :]).entries == 1


def test_refuses_a_global_header_that_names_members() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", pax_headers={"path": "/etc/passwd"}) as tar:
        tar.addfile(tarfile.TarInfo("a"))
    with pytest.raises(Fault, match="malformed"):
        scan(stream.getvalue())
