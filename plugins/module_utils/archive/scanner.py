# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Walks the headers of a tar stream on its way to GNU tar, and refuses what tar must not see.

Only headers are looked at, whole blocks of data are passed over, so that a megabyte costs
microseconds. Formats: POSIX.1-1988 ustar, pax (POSIX.1-2001), and the GNU types (tar manual,
"Basic Tar Format"). Where GNU tar and a strict reader could disagree about what follows, the
archive is refused instead of guessed at.
"""

from __future__ import annotations

import zlib

from ..faults import archive as kinds
from ..faults.fault import Fault
from .acl import TextAcl
from .digests import FileDigests

BLOCK = 512

_ZERO_BLOCK = bytes(BLOCK)
_REGULAR = frozenset(b"0\x007S")
_WITHOUT_DATA = frozenset(b"23456")
_HARD_LINK, _SYMBOLIC_LINK = ord("1"), ord("2")
_PAX, _PAX_GLOBAL = ord("x"), ord("g")
_LONG_NAME, _LONG_LINK = ord("L"), ord("K")
_OLD_SPARSE = ord("S")
_METADATA = frozenset((_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK))
_KNOWN = _REGULAR | _WITHOUT_DATA | _METADATA | {_HARD_LINK}
#: Extended attributes with a file of ACLs fit many times over; no sane archive needs more.
_METADATA_LIMIT = 1 << 20
#: ACLs as text, GNU tar's and star's.
_PAX_ACLS = {b"SCHILY.acl.access": "access", b"SCHILY.acl.default": "default"}
#: Names that a pax header may give a member, beside its link target.
_PAX_NAMES = (b"path", b"GNU.sparse.name")
#: Every pax format of sparse files has keys of this prefix (tar manual, "Storing Sparse Files").
_PAX_SPARSE = b"GNU.sparse."


class Scanner:
    """Feed it the stream in order; it raises a fault before the offending header is passed on.

    ``entries`` counts members; ``ended`` tells that the end mark was seen; ``acls`` are those that the
    archive holds as text. ``digests`` takes the content of the files on the way.
    """

    def __init__(self, digests: FileDigests | None = None) -> None:
        self._digests = digests
        self.entries = 0
        self.ended = False
        self.acls: list[TextAcl] = []
        self._offset = 0
        self._skip = 0
        self._extended_sparse = False
        self._after_sparse = 0
        self._wanted = 0
        self._metadata_type = 0
        self._metadata = bytearray()
        self._next: dict[bytes, bytes] = {}
        self._links: set[bytes] = set()
        self._plain_parents: set[bytes] = {b""}

    def feed(self, view: memoryview) -> None:
        """Look at the next part of the stream; its length must be a multiple of ``BLOCK``."""
        position, end = 0, len(view)
        while position < end and not self.ended:
            if self._skip:
                step = min(self._skip, end - position)
                if self._wanted:
                    self._collect(view[position : position + step], done=step == self._skip)
                elif self._digests is not None:
                    self._digests.data(view[position : position + step])
                self._skip -= step
                position += step
                continue
            block = bytes(view[position : position + BLOCK])
            position += BLOCK
            if self._extended_sparse:
                # GNU sparse map, continued: the flag for one more block is its byte 504.
                self._extended_sparse = block[504] != 0
                self._skip = 0 if self._extended_sparse else self._after_sparse
            else:
                self._header(block, self._offset + position - BLOCK)
        self._offset += end

    def _header(self, block: bytes, offset: int) -> None:
        if block == _ZERO_BLOCK:
            # GNU tar ends at the first one too; unless told otherwise it reads no further.
            self.ended = True
            return
        self._check_sum(block, offset)
        kind = block[156]
        if kind not in _KNOWN:
            raise Fault(kinds.MALFORMED, offset=offset, reason=f"a member of the unknown type {chr(kind)!r}")
        size = self._size(block, kind, offset)
        padded = -(-size // BLOCK) * BLOCK
        if kind in _METADATA:
            if not 0 < size <= _METADATA_LIMIT:
                raise Fault(kinds.MALFORMED, offset=offset, reason=f"an extended header of {size} bytes")
            self._metadata_type, self._wanted, self._skip = kind, size, padded
            self._metadata = bytearray()
            return
        self._member(block, kind, size, offset)
        self._next = {}
        if kind == _OLD_SPARSE and block[482]:
            self._extended_sparse, self._after_sparse = True, padded
        else:
            self._skip = padded

    def _check_sum(self, block: bytes, offset: int) -> None:
        # The low half of Adler-32 (RFC 1950 9.) is 1 + the sum of the bytes modulo 65521: a sum in C
        # speed. The checksum's own eight bytes count as blanks.
        stored = _octal(block[148:156], offset)
        total = stored - 8 * 32 + sum(block[148:156])
        if zlib.adler32(block) & 0xFFFF != (1 + total) % 65521:
            raise Fault(kinds.MALFORMED, offset=offset, reason="the checksum of a header is wrong")

    def _size(self, block: bytes, kind: int, offset: int) -> int:
        if kind == _HARD_LINK:
            return 0  # whatever the field says: POSIX and GNU tar store no data with a hard link
        if kind not in _METADATA and b"size" in self._next:
            text = self._next[b"size"]
            if not text.isdigit():
                raise Fault(kinds.MALFORMED, offset=offset, reason="an extended header with a wrong size")
            return int(text)
        field = block[124:136]
        if field[0] & 0x80:
            if field[0] != 0x80:
                raise Fault(kinds.MALFORMED, offset=offset, reason="a member of negative size")
            return int.from_bytes(field[1:], "big")
        return _octal(field, offset)

    def _member(self, block: bytes, kind: int, size: int, offset: int) -> None:
        name = self._next.get(b"path")
        if name is None:
            name = block[:100].split(b"\0", 1)[0]
            if block[257:263] == b"ustar\0" and block[345]:
                name = block[345:500].split(b"\0", 1)[0] + b"/" + name
        if size and (kind in _WITHOUT_DATA or name.endswith(b"/")):
            raise Fault(kinds.MALFORMED, offset=offset, reason=f"data with {_shown(name)}, which has none")
        clean = self._safe(name, name)
        if kind in (_SYMBOLIC_LINK, _HARD_LINK):
            link = self._next.get(b"linkpath")
            if link is None:
                link = block[157:257].split(b"\0", 1)[0]
            if kind == _HARD_LINK:
                self._safe(link, name)
            else:
                self._symbolic(clean, link, name)
        for key, acl_kind in _PAX_ACLS.items():
            if self._next.get(key):
                text = self._next[key].decode("utf-8", "replace")
                self.acls.append(TextAcl(clean or b".", acl_kind, text))
        if self._digests is not None:
            self._digest(self._digests, block, kind, clean, size)
        self.entries += 1

    def _digest(self, digests: FileDigests, block: bytes, kind: int, path: bytes, size: int) -> None:
        if kind == _HARD_LINK:
            link = self._next.get(b"linkpath", block[157:257].split(b"\0", 1)[0])
            digests.link(path, self._safe(link, path))
        elif kind in _REGULAR and kind != _OLD_SPARSE and _PAX_SPARSE not in self._next:
            digests.begin(path, size)
        else:
            digests.forget(path)

    def _safe(self, path: bytes, member: bytes) -> bytes:
        """Return the path without ``./``; raise where it leaves the target or leads through a link."""
        if path[:2] == b"./":
            path = path[2:]
        if path[:1] == b"/":
            raise Fault(kinds.UNSAFE_MEMBER, member=_shown(member), reason="has an absolute path")
        if b".." in path and b".." in path.split(b"/"):
            raise Fault(kinds.UNSAFE_MEMBER, member=_shown(member), reason="has '..' in its path")
        path = path.rstrip(b"/")
        if b"//" in path or b"/./" in path:
            path = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
        parent = path.rpartition(b"/")[0]
        if parent not in self._plain_parents:
            self._plain(parent, member)
        return path

    def _plain(self, parent: bytes, member: bytes) -> None:
        at = parent
        while at:
            if at in self._links:
                reason = f"lies behind the link {_shown(at)} of the same archive"
                raise Fault(kinds.UNSAFE_MEMBER, member=_shown(member), reason=reason)
            at = at.rpartition(b"/")[0]
        self._plain_parents.add(parent)

    def _symbolic(self, path: bytes, link: bytes, member: bytes) -> None:
        """Check a symbolic link: absolute is right in a root file system, climbing out of it is not."""
        if link[:3] == b"../" or b"/.." in link or link == b"..":
            depth = 0 if link[:1] == b"/" else path.count(b"/")
            for part in link.split(b"/"):
                depth += -1 if part == b".." else 0 if part in (b"", b".") else 1
                if depth < 0:
                    raise Fault(
                        kinds.UNSAFE_MEMBER,
                        member=_shown(member),
                        reason=f"links to {_shown(link)}, outside of the target",
                    )
        if path in self._plain_parents:
            raise Fault(kinds.UNSAFE_MEMBER, member=_shown(member), reason="puts a link where a directory was")
        self._links.add(path)

    def _collect(self, part: memoryview, *, done: bool) -> None:
        self._metadata += part
        if not done:
            return
        content = bytes(self._metadata[: self._wanted])
        self._wanted = 0
        if self._metadata_type == _LONG_NAME:
            self._next[b"path"] = content.split(b"\0", 1)[0]
        elif self._metadata_type == _LONG_LINK:
            self._next[b"linkpath"] = content.split(b"\0", 1)[0]
        else:
            self._pax(content)

    def _pax(self, content: bytes) -> None:
        records = _pax_records(content, self._offset)
        if self._metadata_type == _PAX_GLOBAL:
            if records.keys() & {b"size", b"linkpath", *_PAX_NAMES}:
                reason = "a global header that names members"
                raise Fault(kinds.MALFORMED, offset=self._offset, reason=reason)
            return
        for key in (b"size", b"linkpath", *_PAX_NAMES, *_PAX_ACLS):
            if key in records:
                self._next[b"path" if key in _PAX_NAMES else key] = records[key]
        if any(key.startswith(_PAX_SPARSE) for key in records):
            self._next[_PAX_SPARSE] = b""


def _octal(field: bytes, offset: int) -> int:
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise Fault(kinds.MALFORMED, offset=offset, reason="a number in a header is no number") from None


def _pax_records(content: bytes, offset: int) -> dict[bytes, bytes]:
    """Parse ``LENGTH key=value\\n`` records (POSIX pax, Extended Header); values may hold newlines."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(content):
        blank = content.find(b" ", at, at + 10)
        digits = content[at:blank] if blank > at else b""
        length = int(digits) if digits.isdigit() else 0
        record = content[blank + 1 : at + length]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            raise Fault(kinds.MALFORMED, offset=offset, reason="an extended header that is not well formed")
        records[key] = value
        at += length
    return records


def _shown(name: bytes) -> str:
    return ascii(name.decode("utf-8", "replace"))
