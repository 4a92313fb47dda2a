# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A power cut while the dispatcher writes its state: every subset of its sector writes must boot on.

GRUB never flushes, so any subset of what it wrote may have reached the disk, in any order.
"""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from .machine import SECTOR, Disk, logged_sectors

CASES = {
    "last try": {"order": "b a", "b": "trying", "tries": "1"},
    "one-shot": {"b": "bad", "next": "b"},
}
if os.environ.get("DUALROOT_SOAK"):
    CASES["first try"] = {"order": "b a", "b": "trying", "tries": "3"}
    CASES["second try"] = {"order": "b a", "b": "trying", "tries": "2"}
    CASES["one-shot of a slot that is tried"] = {"order": "b a", "b": "trying", "tries": "1", "next": "b"}


@pytest.mark.parametrize("name", CASES)
def test_every_crash_state_ends_in_the_good_slot(disk: Disk, tmp_path: Path, name: str) -> None:
    disk.set_state(**CASES[name])
    before = disk.image.read_bytes()
    assert disk.boot(log=tmp_path / "log").started == "b"
    # The second sector of each copy is written too, with what it had.
    changed = [
        (sector, data)
        for sector, data in logged_sectors(tmp_path / "log")
        if before[sector * SECTOR : sector * SECTOR + len(data)] != data
    ]
    # The fault must be one: both copies were written, in sectors of their own.
    assert len({sector for sector, _data in changed}) == 2
    most = 2 + int(CASES[name].get("tries", "0"))
    for kept in product((False, True), repeat=len(changed)):
        disk.image.write_bytes(before)
        for (sector, data), is_kept in zip(changed, kept):
            if is_kept:
                disk.write(sector * SECTOR, data)
        started = []
        while "a" not in started and len(started) <= most:
            started.append(disk.boot().started)
        # A lost write costs at most a boot of the slot in question, and every boot starts something.
        assert started[-1] == "a" and set(started[:-1]) <= {"b"} and len(started) <= most, (kept, started)
