# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal on a plain file instead of a disk: torn records, leftovers, and a full one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat import find, log
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import (
    BLOCK,
    JOURNAL_BYTES,
    Extent,
    Lifeboat,
    Part,
)

MIB = 1 << 20
#: In two pieces, the second one before the first.
PART = Part("journal", JOURNAL_BYTES, "", (Extent(4 * MIB, 3 * MIB), Extent(MIB, MIB)))
RUN, PLAN = "run-1", "d" * 64


@pytest.fixture
def node(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(random.Random(1).randbytes(8 * MIB))
    return path


def entry(number: int) -> dict[str, object]:
    return {"phase": "restore", "step": f"s{number}", "event": "done"}


def spoil(node: Path, record: int, at: int = 100, content: bytes = b"torn") -> None:
    with node.open("r+b") as file:
        file.seek(4 * MIB + record * BLOCK + at)
        file.write(content)


def test_what_was_appended_is_read_back(node: Path) -> None:
    journal = log.create(node, PART, RUN, PLAN)
    for number in range(5):
        journal.append(entry(number))
    again = log.load(node, PART, RUN, PLAN)
    assert again.records == journal.records == [entry(number) for number in range(5)]
    again.append(entry(5))
    assert log.load(node, PART, RUN, PLAN).records[-1] == entry(5)


def test_goes_on_in_the_second_piece_and_ends_where_it_is_full(node: Path) -> None:
    journal = log.create(node, PART, RUN, PLAN)
    count = JOURNAL_BYTES // BLOCK - 1
    for number in range(count + 300):
        journal.append(entry(number), needed=False)
    assert len(journal.records) == count - log.RESERVE
    while journal.room:
        journal.append(entry(0))
    with pytest.raises(Fault) as caught:
        journal.append(entry(0))
    assert caught.value.id == "lifeboat.journal"
    assert len(log.load(node, PART, RUN, PLAN).records) == count


def test_a_torn_record_counts_as_never_written(node: Path) -> None:
    journal = log.create(node, PART, RUN, PLAN)
    for number in range(3):
        journal.append(entry(number))
    spoil(node, 3, at=20)
    again = log.load(node, PART, RUN, PLAN)
    assert again.records == [entry(0), entry(1)]
    again.append(entry(9))
    assert log.load(node, PART, RUN, PLAN).records == [entry(0), entry(1), entry(9)]


@pytest.mark.parametrize("cut", range(0, BLOCK, 512))
def test_a_record_of_which_only_some_sectors_arrived_is_old_or_none(node: Path, cut: int) -> None:
    journal = log.create(node, PART, RUN, PLAN)
    journal.append({**entry(0), "detail": {"id": "x", "what": "y" * 250}})
    before = node.read_bytes()
    journal.append({**entry(1), "detail": "z" * 3000})
    after = node.read_bytes()
    end = 4 * MIB + 2 * BLOCK + cut
    node.write_bytes(after[:end] + before[end:])
    found = log.load(node, PART, RUN, PLAN).records
    assert len(found) == (2 if cut >= 3200 else 1)


def test_a_record_that_cannot_be_read_hides_none_behind_it(node: Path) -> None:
    journal = log.create(node, PART, RUN, PLAN)
    for number in range(3):
        journal.append(entry(number))
    spoil(node, 2, at=20)
    assert log.load(node, PART, RUN, PLAN).records == [entry(0), entry(2)]


def test_leftovers_are_no_records(node: Path) -> None:
    first = log.create(node, PART, RUN, PLAN)
    for number in range(6):
        first.append(entry(number))
    second = log.create(node, PART, RUN, PLAN)
    second.append(entry(7))
    assert log.load(node, PART, RUN, PLAN).records == [entry(7)]
    # A record of this journal at a place that is not its own.
    block = log.encode(second.header.nonce, 1, entry(7))
    spoil(node, 4, 0, block)
    assert log.load(node, PART, RUN, PLAN).records == [entry(7)]


@pytest.mark.parametrize(
    ("run_id", "plan", "problem"), [("run-2", PLAN, "belongs to run run-1"), (RUN, "e" * 64, "belongs")]
)
def test_the_journal_of_another_run_is_refused(node: Path, run_id: str, plan: str, problem: str) -> None:
    log.create(node, PART, RUN, PLAN)
    with pytest.raises(Fault, match=problem) as caught:
        log.load(node, PART, run_id, plan)
    assert caught.value.id == "lifeboat.journal"


def test_no_header_is_no_journal(node: Path) -> None:
    assert log.read_header(node, PART) is None
    with pytest.raises(Fault, match="no header"):
        log.load(node, PART, RUN, PLAN)
    log.create(node, PART, RUN, PLAN)
    spoil(node, 0, at=30)
    with pytest.raises(Fault, match="no header"):
        log.load(node, PART, RUN, PLAN)


def test_a_long_fault_is_cut_and_keeps_its_id(node: Path) -> None:
    journal = log.create(node, PART, RUN, PLAN)
    detail = {"id": "command.failed", "phase": "boot", "what": "w" * 9000, "why": "y" * 9000, "how": "h"}
    journal.append({**entry(0), "detail": detail})
    (found,) = log.load(node, PART, RUN, PLAN).records
    assert found["detail"] == {"id": "command.failed", "phase": "boot", "what": "w" * 300}
    assert found["step"] == "s0"


def test_a_disk_that_takes_nothing_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        log.create(tmp_path / "none", PART, RUN, PLAN)
    assert caught.value.id == "lifeboat.journal"
    with pytest.raises(Fault, match="cannot be read"):
        log.load(tmp_path / "none", PART, RUN, PLAN)


class Disks:
    """Disks as /sys shows them, their nodes plain files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "dev").mkdir()

    def add(self, name: str, serial: str = "", size: int = 8 * MIB) -> Path:
        folder = self.root / "sys/block" / name
        folder.mkdir(parents=True)
        (folder / "size").write_text(f"{size // 512}\n")
        (folder / "serial").write_text(f"{serial}\n")
        link = self.root / "sys/class/block" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(folder)
        path = self.root / "dev" / name
        path.write_bytes(bytes(size))
        return path


def lifeboat(plan: str = PLAN) -> Lifeboat:
    return Lifeboat(RUN, plan, 8 * MIB, 512, {"journal": PART})


def test_finds_the_disk_by_its_journal_whatever_its_table(tmp_path: Path) -> None:
    disks = Disks(tmp_path)
    disks.add("vda", "S1")
    carrying = disks.add("vdb", "S9")
    disks.add("vdc", "S1", size=4 * MIB)
    log.create(carrying, PART, RUN, PLAN)
    assert find.find(lifeboat(), {"serial": "S1"}, tmp_path) == "/dev/vdb"


def test_of_two_copies_the_planned_disk_counts(tmp_path: Path) -> None:
    disks = Disks(tmp_path)
    first, second = disks.add("vda", "S1"), disks.add("vdb", "S2")
    log.create(first, PART, RUN, PLAN)
    second.write_bytes(first.read_bytes())
    assert find.find(lifeboat(), {"serial": "S2", "wwn": ""}, tmp_path) == "/dev/vdb"
    with pytest.raises(Fault, match="more than one disk"):
        find.find(lifeboat(), {"serial": "S3"}, tmp_path)


def test_another_run_s_lifeboat_is_none(tmp_path: Path) -> None:
    disks = Disks(tmp_path)
    log.create(disks.add("vda", "S1"), PART, RUN, PLAN)
    with pytest.raises(Fault) as caught:
        find.find(lifeboat("e" * 64), {"serial": "S1"}, tmp_path)
    assert caught.value.id == "lifeboat.not_found"
