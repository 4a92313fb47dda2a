# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Digests of single files, taken from a stream of tar."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.digests import FileDigests
from ansible_collections.dualroot.migrate.plugins.module_utils.archive.scanner import BLOCK, Scanner

LONG = "usr/share/" + "n" * 150


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, len(content)
    return entry, content


def archive(members: list[tuple[tarfile.TarInfo, bytes]], form: int) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
        for entry, content in members:
            tar.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return raw.getvalue()


def digests(raw: bytes, step: int) -> dict[bytes, str]:
    taken = FileDigests()
    scanner = Scanner(taken)
    for start in range(0, len(raw), step):
        scanner.feed(memoryview(raw)[start : start + step])
    assert scanner.ended
    return {path: digest.hex() for path, digest in taken.found.items()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("step", [BLOCK, 3 * BLOCK, 1 << 20])
def test_every_regular_file_has_its_digest(form: int, step: int) -> None:
    big = bytes(range(256)) * 40
    raw = archive(
        [
            member("./etc", kind=tarfile.DIRTYPE),
            member("./etc/empty"),
            member("./etc/block", b"x" * BLOCK),
            member(LONG, big),
            member("bin", kind=tarfile.SYMTYPE, link="usr/bin"),
            member("./second", kind=tarfile.LNKTYPE, link=f"./{LONG}"),
        ],
        form,
    )
    assert digests(raw, step) == {
        b"etc/empty": sha256(b""),
        b"etc/block": sha256(b"x" * BLOCK),
        LONG.encode(): sha256(big),
        b"second": sha256(big),
    }


def test_the_last_member_of_a_name_counts() -> None:
    raw = archive(
        [member("a", b"old"), member("a", b"new"), member("b", b"file"), member("b", kind=tarfile.FIFOTYPE)],
        tarfile.PAX_FORMAT,
    )
    assert digests(raw, 1 << 20) == {b"a": sha256(b"new")}


def test_a_sparse_file_is_left_out_and_so_are_links_to_it() -> None:
    entry, content = member("GNUSparseFile.0/disk", b"1\n0\n3\n".ljust(BLOCK, b"\0") + b"abc")
    entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "disk"}
    raw = archive(
        [(entry, content), member("link", kind=tarfile.LNKTYPE, link="disk"), member("after", b"x")],
        tarfile.PAX_FORMAT,
    )
    assert digests(raw, 1 << 20) == {b"after": sha256(b"x")}
