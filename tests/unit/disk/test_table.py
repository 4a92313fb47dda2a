# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is written, with which command, and when it is refused; with a fake disk of a file."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import describing, gpt, raw, saving, table
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.read import read_disk
from ansible_collections.dualroot.migrate.plugins.module_utils.disk.sysfs import partitions as kernel_partitions
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault

from tests.support import layouts
from tests.support.fake_runner import FakeRunner
from tests.support.trees import Tree, write_gpt, write_mbr

RESOLVED = layouts.resolved("va")
CONVERT = table.target(RESOLVED, "convert")
COMMIT = table.target(RESOLVED, "commit")

#: What is run for a table that is written by own means.
SETTLE = ("udevadm", "settle", "--timeout=30")


def take_over(highest):
    """What is run where the table has partitions up to a number."""
    return [SETTLE, ("partx", "--update", "--nr", f"1:{highest}", "/dev/vda"), SETTLE]


TAKE_OVER = take_over(3)
UPDATE = TAKE_OVER[1]


class Machine(Tree):
    """A tree whose fake partx makes the kernel know what is on the disk."""

    def __init__(self, root):
        super().__init__(root)
        self.disk()
        self.path = root / "dev/vda"
        self.runner = FakeRunner(handler=self.handle)
        self.signature = ""
        self.kernel_follows = True
        #: How many deletions the kernel refuses, because somebody has the partition open.
        self.opened = 0

    def handle(self, argv, _stdin):
        if argv[:2] == ("partx", "--delete"):
            if self.opened:
                self.opened -= 1
                return None
            shutil.rmtree(self.root / f"sys/block/vda/vda{argv[3]}")
        elif argv[0] == "partx" and self.kernel_follows:
            known = kernel_partitions("vda", self.root)
            # The words of its range, or none: udev, which reads the whole table.
            first, last = (int(word) for word in argv[3].split(":")) if argv[2:3] == ("--nr",) else (1, 128)
            for entry in read_disk("/dev/vda", self.root).entries:
                if not first <= entry.number <= last:
                    continue
                start, size = entry.first_lba * 512, entry.sectors * 512
                # The kernel refuses what overlaps (block/partitions/core.c, bdev_add_partition).
                over = (p for p in known if p.start_bytes < start + size and start < p.start_bytes + p.size_bytes)
                if not any(over):
                    self.partition("vda", entry.number, start, size)
        elif argv[0] == "blkid":
            return self.signature
        elif argv[0] not in ("partx", "udevadm"):
            raise AssertionError(argv)
        return None

    def apply(self, upto="convert", resolved=RESOLVED, **options):
        self.slept = []
        return table.apply(self.runner, "/dev/vda", resolved, upto, root=self.root, sleep=self.slept.append, **options)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def first_mebibyte(machine):
    with machine.path.open("rb") as stream:
        return stream.read(1 << 20)


def fault_of(machine, **options):
    before = first_mebibyte(machine)
    with pytest.raises(Fault) as raised:
        machine.apply(**options)
    assert first_mebibyte(machine) == before
    assert not any(argv[0] == "partx" for argv in machine.runner.calls)
    return raised.value


def test_an_empty_disk_gets_the_whole_table_at_once(machine):
    assert machine.apply().kind == "replace"
    assert machine.runner.calls == [("blkid", "-p", "-o", "export", "/dev/vda"), *TAKE_OVER]
    assert read_disk("/dev/vda", machine.root).gpt == CONVERT


def test_a_second_time_nothing_is_run(machine):
    machine.apply()
    machine.runner.calls.clear()
    assert machine.apply().kind == "none"
    assert machine.runner.calls == []


def test_commit_adds_to_a_disk_in_use(machine):
    machine.apply()
    machine.mount("vda2", "/boot/dispatch")
    machine.runner.calls.clear()
    assert machine.apply("commit").kind == "add"
    assert machine.runner.calls == take_over(4)
    assert read_disk("/dev/vda", machine.root).gpt == COMMIT
    assert machine.apply("convert").kind == "none"


def test_a_switch_that_was_cut_is_mended_on_a_disk_in_use(machine):
    """Entries and header are new, the backup is old: as a cut during ``commit`` leaves it."""
    machine.apply()
    machine.mount("vda2", "/boot/dispatch")
    with machine.path.open("rb") as stream:
        stream.seek(-33 * 512, 2)
        old_backup = stream.read()
    machine.apply("commit")
    with machine.path.open("r+b") as stream:
        stream.seek(-33 * 512, 2)
        stream.write(old_backup)
    assert read_disk("/dev/vda", machine.root).problems == ("primary and backup table differ",)
    assert machine.apply("commit").kind == "mend"
    found = read_disk("/dev/vda", machine.root)
    assert (found.gpt, found.problems) == (COMMIT, ())


def test_the_place_of_the_entries_alternates(machine):
    places = []
    for moment in ("convert", "commit"):
        machine.apply(moment)
        places.append(gpt.unpack_header(first_mebibyte(machine)[512:1024]).entries_lba)
    assert places == [2, 34]


@pytest.mark.parametrize(("first", "last"), [(40, 2000), (65, 2000), (16777180, 16777183)])
def test_a_partition_where_the_table_is_written(machine, first, last):
    entry = replace(CONVERT.entries[0], number=9, first_lba=first, last_lba=last)
    write_gpt(machine.path, replace(CONVERT, entries=(entry,)))
    before = first_mebibyte(machine)
    with pytest.raises(Fault) as raised:
        table.apply_table(machine.runner, "/dev/vda", CONVERT, later=(entry,), root=machine.root)
    assert raised.value.id == "disk.no_array_room"
    assert f"Partition 9 of /dev/vda at sectors {first}-{last}" in raised.value.what
    assert first_mebibyte(machine) == before
    assert machine.runner.calls == []


def test_a_partition_that_is_kept_keeps_its_content(machine):
    """An ESP of the old table stands in the new one, under another number."""
    kept = replace(CONVERT.entries[0], number=5, name="EFI System Partition")
    write_gpt(machine.path, replace(CONVERT, disk_guid="0" * 8 + CONVERT.disk_guid[8:], entries=(kept,)))
    with machine.path.open("r+b") as stream:
        for lba in (kept.first_lba, kept.last_lba, CONVERT.entries[1].first_lba):
            stream.seek(lba * 512)
            stream.write(b"content".ljust(512, b"."))
    assert machine.apply(relabel=True).kind == "replace"
    with machine.path.open("rb") as stream:
        for lba, there in ((kept.first_lba, True), (kept.last_lba, True), (CONVERT.entries[1].first_lba, False)):
            stream.seek(lba * 512)
            assert (stream.read(7) == b"content") is there


def test_another_table_needs_relabel(machine):
    write_mbr(machine.path, [(0x83, 2048, 100000)])
    fault = fault_of(machine)
    assert fault.id == "disk.relabel_refused"
    assert "already holds a dos table" in fault.what
    assert machine.apply(relabel=True).kind == "replace"


def test_a_changed_partition_needs_relabel(machine):
    other = replace(CONVERT, entries=(replace(CONVERT.entries[0], last_lba=6142), *CONVERT.entries[1:]))
    write_gpt(machine.path, other)
    fault = fault_of(machine)
    assert fault.id == "disk.relabel_refused"
    assert "partition 1 'bios' at 2048-6142" in fault.what


def test_a_file_system_on_the_bare_disk_needs_relabel(machine):
    machine.signature = "DEVNAME=/dev/vda\nUUID=x\nTYPE=ext4\n"
    assert "already holds ext4" in fault_of(machine).what


def test_a_disk_in_use_is_never_relabelled(machine):
    write_mbr(machine.path, [(0x83, 2048, 100000)])
    machine.partition("vda", 1, 2048 * 512, 100000 * 512)
    machine.mount("vda1", "/")
    fault = fault_of(machine, relabel=True)
    assert fault.id == "disk.in_use"
    assert "/dev/vda1 mounted at /" in fault.what


@pytest.mark.parametrize("size", [(8 << 30) - 512, (8 << 30) + 512])
def test_one_sector_less_or_more_is_refused(tmp_path, size):
    machine = Machine(tmp_path)
    machine.write("sys/block/vda/size", str(size // 512))
    assert fault_of(machine).id == "disk.wrong_geometry"


def test_another_sector_size_is_refused(machine):
    machine.write("sys/block/vda/queue/logical_block_size", "4096")
    assert fault_of(machine).id == "disk.wrong_geometry"


def test_added_partitions_must_be_in_free_space(machine):
    other = replace(CONVERT, entries=(replace(CONVERT.entries[0], number=9, last_lba=20000),))
    write_gpt(machine.path, other)
    with pytest.raises(Fault) as raised:
        table.apply_table(machine.runner, "/dev/vda", CONVERT, later=other.entries, root=machine.root)
    assert raised.value.id == "disk.overlap"
    assert machine.runner.calls == []


def test_what_the_disk_did_not_keep_is_noticed(machine, monkeypatch):
    real = raw.write_at
    monkeypatch.setattr(raw, "write_at", lambda handle, at, data: None if at == 512 else real(handle, at, data))
    with pytest.raises(Fault) as raised:
        machine.apply()
    assert raised.value.id == "disk.read_back"
    assert "GRUB finds none with no partitions" in raised.value.what
    assert "UEFI" not in raised.value.what  # its firmware uses the backup


def test_a_disk_that_refuses_a_write(machine, monkeypatch):
    def refuse(_handle, _at, _data):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(raw, "write_at", refuse)
    with pytest.raises(Fault) as raised:
        machine.apply()
    assert raised.value.id == "disk.unwritable"


def test_a_kernel_that_does_not_follow(machine):
    machine.kernel_follows = False
    with pytest.raises(Fault) as raised:
        machine.apply()
    assert raised.value.id == "disk.nodes_missing"
    assert "/dev/vda1, /dev/vda2, /dev/vda3" in raised.value.what
    assert len(machine.slept) == 300
    assert machine.runner.calls.count(UPDATE) == 15


def test_a_kernel_that_follows_at_the_second_time(machine):
    """A worker of udev had a partition open while partx ran: seen with virtio disks."""
    real, machine.kernel_follows = machine.handle, False

    def late(argv, stdin):
        machine.kernel_follows = machine.runner.calls.count(UPDATE) > 1
        return real(argv, stdin)

    machine.runner.handler = late
    assert machine.apply().kind == "replace"
    assert len(machine.slept) == 20


def test_a_kernel_that_udev_told(machine):
    """udev read the table when the disk was closed: partx has nothing left to do."""
    real = machine.handle

    def told(argv, stdin):
        return real(("partx",), stdin) if argv[0] == "udevadm" else real(argv, stdin)

    machine.runner.handler = told
    machine.apply()
    assert machine.runner.calls[1:] == [SETTLE]


def test_a_second_try_does_not_pass_over_a_kernel_that_does_not_follow(machine):
    """The disk has the new table, the kernel the old one: volumes would be made at the old places."""
    machine.partition("vda", 3, 1 << 20, 1 << 30)
    machine.kernel_follows = False
    for _try in range(2):
        with pytest.raises(Fault) as raised:
            machine.apply()
        assert raised.value.id == "disk.nodes_missing"
    machine.kernel_follows = True
    shutil.rmtree((machine.root / "sys/block/vda/vda3").resolve())
    (machine.root / "sys/class/block/vda3").unlink()
    machine.runner.calls.clear()
    assert machine.apply().kind == "none"
    assert machine.runner.calls == TAKE_OVER


def test_old_signatures_are_cleared_before_the_table_names_them(machine):
    with machine.path.open("r+b") as stream:
        for offset in (2103296 * 512 + 512, 10491904 * 512 - 512, 2048 * 512 - 16):
            stream.seek(offset)
            stream.write(b"LABELONE01234567")
    machine.apply()
    with machine.path.open("rb") as stream:
        for offset, kept in ((2103296 * 512 + 512, False), (10491904 * 512 - 512, False), (2048 * 512 - 16, True)):
            stream.seek(offset)
            assert (stream.read(16) == b"LABELONE01234567") is kept


def test_before_and_after_as_documents(machine):
    found = read_disk("/dev/vda", machine.root)
    change = table.plan_change(found, CONVERT)
    assert describing.describe(found) == {"table": "none", "table_id": "", "partitions": [], "problems": []}
    after = describing.describe_after(found, change, CONVERT)
    machine.apply()
    found = read_disk("/dev/vda", machine.root)
    assert describing.describe(found) == after
    added = describing.describe_after(found, table.plan_change(found, COMMIT), COMMIT)
    assert [part["name"] for part in added["partitions"]] == ["bios", "dispatch", "VA", "VB"]


def test_copies_before_a_change(machine, tmp_path):
    folder = tmp_path / "tables"
    found = read_disk("/dev/vda", machine.root)
    assert saving.save(machine.runner, "/dev/vda", found, folder, "now", machine.root) == ""
    write_mbr(machine.path, [(0x83, 2048, 100000)])
    found = read_disk("/dev/vda", machine.root)
    path = saving.save(machine.runner, "/dev/vda", found, folder, "now", machine.root)
    assert path == str(folder / "dev-vda-now.mbr")
    assert (folder / "dev-vda-now.mbr").read_bytes() == first_mebibyte(machine)[:512]
    assert folder.stat().st_mode & 0o777 == 0o700
    write_gpt(machine.path, CONVERT)
    found = read_disk("/dev/vda", machine.root)
    copy = folder / "dev-vda-now.gpt"
    runner = FakeRunner({("sgdisk", f"--backup={copy}", "/dev/vda"): lambda *_: copy.touch()})
    assert saving.save(runner, "/dev/vda", found, folder, "now", machine.root) == str(copy)
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_file_that_holds_no_table(tmp_path):
    (tmp_path / "x").write_bytes(bytes(20000))
    for name in ("x", "missing"):
        with pytest.raises(Fault) as raised:
            table.saved(tmp_path / name)
        assert raised.value.id == "disk.table_file"


def test_gpt_of_nothing_but_a_protective_mbr_is_replaced(machine):
    write_gpt(machine.path, gpt.Gpt(RESOLVED.disk_guid, ()))
    machine.path.open("r+b").close()
    assert machine.apply().kind == "add"


KEEPING = layouts.keeping()
OLD_START = KEEPING.until_commit[0].start_lba


def test_an_old_root_that_an_mbr_named_keeps_its_content(machine):
    """It is new in the table and not on the disk: its super block must not be cleared as ancient."""
    write_mbr(machine.path, [(0x83, OLD_START, (8 << 30) // 512 - 4096)])
    with machine.path.open("r+b") as stream:
        stream.seek(OLD_START * 512)
        stream.write(b"old root" * 1024)
        stream.seek((KEEPING.until_commit[0].last_lba - 1) * 512)
        stream.write(b"old end!" * 128)
        stream.seek(KEEPING.partition("va").start_lba * 512)
        stream.write(b"ancient!")
    machine.apply("convert", KEEPING, relabel=True)
    with machine.path.open("rb") as stream:
        stream.seek(OLD_START * 512)
        assert stream.read(8192) == b"old root" * 1024
        stream.seek((KEEPING.until_commit[0].last_lba - 1) * 512)
        assert stream.read(1024) == b"old end!" * 128
        stream.seek(KEEPING.partition("va").start_lba * 512)
        assert stream.read(8) == bytes(8)
    assert read_disk("/dev/vda", machine.root).gpt == table.target(KEEPING, "convert")


def test_commit_lets_it_go_and_makes_what_lies_in_its_place(machine):
    machine.apply("convert", KEEPING)
    machine.mount("vda3", "/boot/dispatch")
    machine.runner.calls.clear()
    change = machine.apply("commit", KEEPING)
    assert (change.kind, [one.number for one in change.leaving]) == ("retire", [1])
    assert ("partx", "--delete", "--nr", "1", "/dev/vda") in machine.runner.calls
    assert read_disk("/dev/vda", machine.root).gpt == table.target(KEEPING, "commit")
    assert machine.apply("commit", KEEPING).kind == "none"


def test_the_old_root_is_deleted_until_the_kernel_has_let_go_of_it(machine):
    """udev looks into every partition after the write, and the kernel deletes none that is open."""
    machine.apply("convert", KEEPING)
    machine.runner.calls.clear()
    machine.opened = 3
    machine.apply("commit", KEEPING)
    delete = ("partx", "--delete", "--nr", "1", "/dev/vda")
    # Up to the highest number, because partx by itself stops at the count of partitions, and there are four.
    assert machine.runner.calls == [*[SETTLE, delete] * 4, SETTLE, *take_over(5)]
    assert [part.number for part in kernel_partitions("vda", machine.root)] == [2, 3, 4, 5]


def test_an_old_root_that_stays_open_is_a_fault_and_the_next_run_goes_on(machine):
    machine.apply("convert", KEEPING)
    machine.opened = 10_000
    with pytest.raises(Fault) as raised:
        machine.apply("commit", KEEPING)
    assert raised.value.id == "disk.nodes_left"
    assert "/dev/vda1" in raised.value.what and "30 s" in raised.value.what
    assert sum(machine.slept) == pytest.approx(30)
    # The table is written; the kernel is what is behind.
    machine.opened = 0
    machine.runner.calls.clear()
    assert machine.apply("commit", KEEPING).kind == "none"
    assert ("partx", "--delete", "--nr", "1", "/dev/vda") in machine.runner.calls
    assert [part.number for part in kernel_partitions("vda", machine.root)] == [2, 3, 4, 5]


def test_one_that_is_mounted_does_not_go(machine):
    machine.apply("convert", KEEPING)
    machine.mount("vda1", "/mnt")
    before = first_mebibyte(machine)
    with pytest.raises(Fault) as raised:
        machine.apply("commit", KEEPING)
    assert raised.value.id == "disk.in_use"
    assert first_mebibyte(machine) == before


def test_a_stranger_in_its_place_is_no_old_root(machine):
    machine.apply("convert", KEEPING)
    found = read_disk("/dev/vda", machine.root)
    other = replace(
        found.gpt, entries=(replace(found.entries[0], uuid="0" * 8 + found.entries[0].uuid[8:]), *found.entries[1:])
    )
    write_gpt(machine.path, other)
    change = table.plan_change(
        read_disk("/dev/vda", machine.root), table.target(KEEPING, "commit"), (), table.retired(KEEPING, "commit")
    )
    assert change.kind == "replace"
