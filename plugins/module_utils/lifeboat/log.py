# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal of stage two that survives a power cut: records in the lifeboat's part ``journal``.

Record ``n`` lies at byte ``4096 * n`` of the part, alone in its block: a disk with sectors of 4096 bytes
that shows smaller ones rewrites the whole of them, and a cut must never take an older record along. A
record is ``magic, nonce, number, length, crc32`` and JSON, padded with zeros; record 0 is the header
``{"run_id", "plan_digest"}``. The nonce is drawn with each header, so what an earlier run left behind, or
an earlier try of this one, is no record. A torn record has a wrong checksum and counts as never written.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..faults import lifeboat as kinds
from ..faults.fault import Fault
from ..shape import parse
from .disk import read_extents, write_extent
from .model import BLOCK, Part

MAGIC = b"DRJOURN1"
_HEAD = struct.Struct("<8s8sIII")
#: Records that are kept for what must be noted: that steps are done, and that stage two began again.
RESERVE = 256


@dataclass(frozen=True)
class Header:
    """Which run a journal belongs to; ``nonce`` tells its records from leftovers."""

    run_id: str
    plan_digest: str
    nonce: bytes


class DiskJournal:
    """Appends records; ``records`` are those that the disk has, oldest first, without the header."""

    def __init__(self, node: str | Path, part: Part, header: Header, records: list[dict[str, Any]], used: int) -> None:
        self.node = node
        self.header = header
        self.records = records
        self._places = [start for one in part.extents for start in range(one.start, one.end, BLOCK)]
        self._used = used

    @property
    def room(self) -> int:
        """How many records still fit."""
        return len(self._places) - self._used

    def append(self, document: Mapping[str, Any], *, needed: bool = True) -> None:
        """Write a record; it is on the disk when this returns.

        Where little room is left, what is not ``needed`` is left out. Raises ``Fault``
        ``lifeboat.journal`` where the disk does not take the record, or none is left.
        """
        if not needed and self.room <= RESERVE:
            return
        if self.room <= 0:
            raise Fault(kinds.JOURNAL, problem=f"all {len(self._places)} records are used")
        record = encode(self.header.nonce, self._used, document)
        try:
            write_extent(self.node, self._places[self._used], record)
        except OSError as error:
            # The next try takes the next place: reading passes over what is no record.
            self._used += 1
            raise Fault(kinds.JOURNAL, problem=f"a record cannot be written: {error.strerror}") from error
        self._used += 1
        self.records.append(dict(document))


def create(node: str | Path, part: Part, run_id: str, plan_digest: str) -> DiskJournal:
    """Begin a journal: what was there before is forgotten by one write. Raises ``lifeboat.journal``."""
    header = Header(run_id, plan_digest, os.urandom(8))
    document = {"run_id": run_id, "plan_digest": plan_digest}
    try:
        write_extent(node, part.extents[0].start, encode(header.nonce, 0, document))
    except OSError as error:
        raise Fault(kinds.JOURNAL, problem=f"its header cannot be written: {error.strerror}") from error
    found = read_header(node, part)
    if found != header:
        raise Fault(kinds.JOURNAL, problem="its header reads back different")
    return DiskJournal(node, part, header, [], 1)


def load(node: str | Path, part: Part, run_id: str, plan_digest: str) -> DiskJournal:
    """Take up the journal of a run; raises ``lifeboat.journal`` where it is not this run's."""
    try:
        header, records, used = _scan(node, part)
    except OSError as error:
        raise Fault(kinds.JOURNAL, problem=f"it cannot be read: {error.strerror}") from error
    if header is None:
        raise Fault(kinds.JOURNAL, problem="it has no header")
    if (header.run_id, header.plan_digest) != (run_id, plan_digest):
        raise Fault(kinds.JOURNAL, problem=f"it belongs to run {header.run_id}")
    return DiskJournal(node, part, header, records, used)


def read_header(node: str | Path, part: Part) -> Header | None:
    """Return whose journal it is, ``None`` where there is none; raises ``OSError``."""
    for piece in read_extents(node, part.extents, BLOCK):
        return _header(bytes(piece))
    return None


def encode(nonce: bytes, number: int, document: Mapping[str, Any]) -> bytes:
    """Return a record; a text too long for it is cut, because a fault that is cut still tells its id."""
    text = _text(document)
    return _pack(nonce, number, text).ljust(BLOCK, b"\0")


def decode(block: bytes) -> tuple[bytes, int, dict[str, Any]] | None:
    """Return nonce, number and document of a record, ``None`` where it is torn or none at all."""
    magic, nonce, number, length, crc = _HEAD.unpack_from(block)
    if magic != MAGIC or length > BLOCK - _HEAD.size:
        return None
    text = block[_HEAD.size : _HEAD.size + length]
    if _checksum(nonce, number, text) != crc:
        return None
    try:
        document = parse(text)
    except ValueError:
        return None
    return (nonce, number, document) if isinstance(document, dict) else None


def _scan(node: str | Path, part: Part) -> tuple[Header | None, list[dict[str, Any]], int]:
    """Return header, records, and how many places are used: up to the last record of this journal."""
    header: Header | None = None
    records: list[dict[str, Any]] = []
    used = 1
    for index, block in enumerate(_blocks(node, part)):
        if index == 0:
            header = _header(block)
            if header is None:
                break
            continue
        found = decode(block)
        if header is not None and found is not None and found[0] == header.nonce and found[1] == index:
            records.append(found[2])
            used = index + 1
    return header, records, used


def _blocks(node: str | Path, part: Part) -> Iterator[bytes]:
    size = sum(one.length for one in part.extents)
    for piece in read_extents(node, part.extents, size):
        for start in range(0, len(piece), BLOCK):
            yield bytes(piece[start : start + BLOCK])


def _header(block: bytes) -> Header | None:
    found = decode(block)
    if found is None or found[1] != 0:
        return None
    nonce, _number, document = found
    return Header(str(document.get("run_id")), str(document.get("plan_digest")), nonce)


def _text(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode("ascii")
    if len(text) <= BLOCK - _HEAD.size:
        return text
    short = {name: value for name, value in document.items() if name != "detail"}
    detail = document.get("detail")
    if isinstance(detail, Mapping):
        short["detail"] = {name: str(value)[:300] for name, value in detail.items() if name in ("id", "phase", "what")}
    return json.dumps(short, separators=(",", ":"), sort_keys=True).encode("ascii")[: BLOCK - _HEAD.size]


def _pack(nonce: bytes, number: int, text: bytes) -> bytes:
    return _HEAD.pack(MAGIC, nonce, number, len(text), _checksum(nonce, number, text)) + text


def _checksum(nonce: bytes, number: int, text: bytes) -> int:
    return zlib.crc32(_HEAD.pack(MAGIC, nonce, number, len(text), 0) + text)
