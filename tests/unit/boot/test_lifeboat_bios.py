# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeboat's boot path on BIOS: what GRUB is told, what is written, and when it is refused."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.dualroot.migrate.plugins.module_utils.boot import (
    control,
    grub_bios,
    lifeboat_bios,
    lifeboat_entry,
)
from ansible_collections.dualroot.migrate.plugins.module_utils.disk import raw
from ansible_collections.dualroot.migrate.plugins.module_utils.faults.fault import Fault
from ansible_collections.dualroot.migrate.plugins.module_utils.lifeboat.model import CORE_BYTES, Extent, Lifeboat, Part

from tests.boot.machine import make_plan, resolved_layout
from tests.support.fake_runner import FakeRunner

MIB = 1 << 20
SIZE = 8 * MIB
CORE = 4 * MIB
LAYOUT = resolved_layout()
PLAN = make_plan()
BOOT_IMAGE = bytes(range(256)) * 2
RECORD = b"\xaa" * 440 + b"SIGN\0\0" + bytes(range(64)) + b"\x55\xaa"


def part(name: str, size: int, *extents: tuple[int, int]) -> Part:
    return Part(name, size, "", tuple(Extent(start, length) for start, length in extents))


def lifeboat(**changes: Part) -> Lifeboat:
    parts = {
        "kernel": part("kernel", 10000, (5 * MIB, 12288)),
        "initrd": part("initrd", 20481, (6 * MIB, 8192), (MIB, 16384)),
        "host": part("host", 4096, (7 * MIB, 4096)),
        "payload": part("payload", 1, (7 * MIB + 4096, 4096)),
        "journal": part("journal", 0),
        "core": part("core", CORE_BYTES, (CORE, CORE_BYTES)),
        **changes,
    }
    return Lifeboat("run", "0" * 64, SIZE, 512, parts)


class Disk:
    """An image with an old boot sector, and a runner that makes cores of ``core``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "disk.img"
        self.path.write_bytes(RECORD.ljust(SIZE, b"\xee"))
        self.grub_dir = folder / "grub"
        self.grub_dir.mkdir()
        (self.grub_dir / "boot.img").write_bytes(BOOT_IMAGE)
        self.core = b"\x07" * 70000
        self.runner = FakeRunner(handler=self._build)
        self.config = ""
        self.writes: list[tuple[int, int]] = []
        real = raw.write_at

        def seen(handle: int, offset: int, data: bytes) -> None:
            self.writes.append((offset, len(data)))
            real(handle, offset, data)

        monkeypatch.setattr(raw, "write_at", seen)

    def _build(self, argv: Any, _stdin: Any) -> None:
        Path(argv[argv.index("-o") + 1]).write_bytes(self.core)
        self.config = Path(argv[argv.index("-c") + 1]).read_text()

    def prepare(self, where: Lifeboat, layout: Any = LAYOUT) -> None:
        lifeboat_bios.prepare_lifeboat(self.runner, str(self.path), layout, PLAN, where, grub_dir=self.grub_dir)

    def take(self, where: Lifeboat) -> None:
        lifeboat_bios.take_control(self.runner, str(self.path), LAYOUT, PLAN, where, grub_dir=self.grub_dir)

    def bytes(self, offset: int, length: int) -> bytes:
        return self.path.read_bytes()[offset : offset + length]

    def put(self, offset: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def fault_of(action: Any, *arguments: Any) -> Fault:
    with pytest.raises(Fault) as raised:
        action(*arguments)
    return raised.value


def test_what_grub_is_told() -> None:
    assert lifeboat_entry.config(PLAN, lifeboat()).splitlines() == [
        "serial --unit=0 --speed=115200",
        "terminal_input serial console",
        "terminal_output serial console",
        f'echo "dualroot: run {PLAN["run_id"]} goes on from the lifeboat"',
        f"linux ($root)10240+20 dualroot.mode=convert dualroot.run={PLAN['run_id']} dualroot.resume=1"
        " gpt panic=30 console=tty0 console=ttyS0,115200",
        'echo "dualroot: loading the initramfs, 1 MiB"',
        "initrd ($root)12288+16 ($root)2048+25 ($root)14336+8",
        "boot",
        'echo "dualroot: the lifeboat cannot be loaded; next try in 20 s"',
        "sleep 20",
        "reboot",
    ]


def test_names_are_checked_before_they_get_into_the_configuration() -> None:
    for change in ({"run_id": "x; reboot"}, {"kernel_arguments": ["console=tty0 $root"]}):
        assert fault_of(lifeboat_entry.config, {**PLAN, **change}, lifeboat()).id == "boot.argument_unsafe"


def test_a_kernel_in_pieces_is_refused(disk: Disk) -> None:
    kernel = part("kernel", 10000, (5 * MIB, 8192), (6 * MIB, 4096))
    fault = fault_of(disk.prepare, lifeboat(kernel=kernel))
    assert fault.id == "boot.kernel_in_pieces" and "2 pieces" in fault.what
    assert disk.writes == []


def test_the_core_is_built_and_written_once(disk: Disk) -> None:
    disk.prepare(lifeboat())
    ((*argv, _last),) = disk.runner.calls
    output, config = argv[6], argv[10]
    assert argv == [
        *("grub-mkimage", "-O", "i386-pc", "-d", str(disk.grub_dir), "-o", output, "-p", "/dualroot", "-c", config),
        *lifeboat_bios.MODULES[:-1],
    ]
    assert disk.config == lifeboat_entry.config(PLAN, lifeboat())
    placed = grub_bios.place_core(disk.core, CORE // 512)
    assert disk.bytes(CORE, len(placed)) == placed
    assert disk.writes == [(CORE, CORE_BYTES)]
    assert disk.bytes(0, CORE) == RECORD.ljust(CORE, b"\xee")
    disk.prepare(lifeboat())
    assert len(disk.writes) == 1


def test_control_is_one_write_of_the_first_440_bytes(disk: Disk) -> None:
    disk.prepare(lifeboat())
    disk.writes.clear()
    before = disk.path.read_bytes()
    disk.take(lifeboat())
    after = disk.path.read_bytes()
    assert disk.writes == [(0, 512)]
    assert after[440:] == before[440:]
    assert struct.unpack_from("<Q", after, 0x5C) == (CORE // 512,)
    assert after[0x66:0x68] == b"\x90\x90"
    disk.take(lifeboat())
    assert len(disk.writes) == 1


@pytest.mark.parametrize(
    ("offset", "data", "problem"),
    [
        (CORE + CORE_BYTES - 4096, bytes(4096), "nothing was written there"),
        (CORE + 1000, b"\0", "it is not what was written"),
        (CORE + CORE_BYTES - 4096 + 16, b"\xff" * 8, "it is not what was written"),
    ],
)
def test_control_is_not_taken_by_a_core_that_is_not_whole(disk: Disk, offset: int, data: bytes, problem: str) -> None:
    disk.prepare(lifeboat())
    disk.writes.clear()
    disk.put(offset, data)
    fault = fault_of(disk.take, lifeboat())
    assert fault.id == "boot.lifeboat_core" and problem in fault.what
    assert disk.writes == [] and disk.bytes(0, 512) == RECORD
    # To prepare again mends it.
    disk.prepare(lifeboat())
    disk.take(lifeboat())


def test_who_starts_next_is_asked_of_the_disk(disk: Disk) -> None:
    def require() -> None:
        lifeboat_bios.require_control(disk.runner, str(disk.path), LAYOUT, PLAN, lifeboat(), grub_dir=disk.grub_dir)

    disk.prepare(lifeboat())
    fault = fault_of(require)
    assert fault.id == "boot.lifeboat_core" and "does not lead there" in fault.what
    disk.take(lifeboat())
    disk.writes.clear()
    require()
    disk.put(510, b"\0\0")
    assert fault_of(require).id == "boot.no_boot_record"
    disk.put(510, b"\x55\xaa")
    disk.put(CORE + 1000, b"\0")
    assert "it is not what was written" in fault_of(require).what
    assert disk.writes == []


def test_a_core_for_another_place(disk: Disk) -> None:
    disk.prepare(lifeboat())
    disk.put(2 * MIB, disk.bytes(CORE, CORE_BYTES))
    moved = lifeboat(core=part("core", CORE_BYTES, (2 * MIB, CORE_BYTES)))
    assert "made for another place" in fault_of(disk.take, moved).what


def test_a_core_that_is_too_large(disk: Disk) -> None:
    disk.core = bytes(CORE_BYTES)
    assert fault_of(disk.prepare, lifeboat()).id == "boot.lifeboat_core"
    assert disk.writes == []


@pytest.mark.parametrize(
    ("offset", "data", "problem"), [(510, b"\0\0", "does not end in 55 AA"), (0, bytes(440), "holds no boot code")]
)
def test_a_disk_that_no_bios_starts(disk: Disk, offset: int, data: bytes, problem: str) -> None:
    """The host was started from another disk, and would be again after a cut."""
    disk.put(offset, data)
    fault = fault_of(disk.prepare, lifeboat())
    assert fault.id == "boot.no_boot_record" and problem in fault.what
    assert disk.writes == []
    disk.put(0, RECORD)
    disk.prepare(lifeboat())
    disk.writes.clear()
    disk.put(offset, data)
    assert fault_of(disk.take, lifeboat()).id == "boot.no_boot_record"
    assert disk.writes == []


def test_a_disk_with_large_sectors(disk: Disk) -> None:
    assert fault_of(disk.prepare, lifeboat(), replace(LAYOUT, sector_bytes=4096)).id == "boot.sector_size"


def test_a_write_that_does_not_take(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.prepare(lifeboat())
    monkeypatch.setattr(raw, "write_at", lambda *_unused: None)
    assert fault_of(disk.take, lifeboat()).id == "boot.write_failed"


def test_a_write_that_fails_half_is_taken_back(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.prepare(lifeboat())
    before = grub_bios.read_through(str(disk.path), 0, 512)
    write, broke = raw.write_at, [OSError(5, "Input/output error")]

    def once(handle: int, offset: int, data: bytes) -> None:
        write(handle, offset, data)
        if broke:
            raise broke.pop()

    monkeypatch.setattr(raw, "write_at", once)
    assert fault_of(disk.take, lifeboat()).id == "boot.write_failed"
    assert not broke
    assert grub_bios.read_through(str(disk.path), 0, 512) == before


def test_the_firmware_of_the_plan_decides(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for name in ("prepare_lifeboat", "take_control", "withdraw", "settle_after_return", "hand_over"):
        monkeypatch.setattr(lifeboat_bios, name, lambda *arguments, called=called, name=name: called.append(name))
    control.prepare_lifeboat(disk.runner, "/dev/vda", LAYOUT, PLAN, lifeboat())
    control.take_control(disk.runner, "/dev/vda", LAYOUT, PLAN, lifeboat())
    for act in (control.withdraw, control.settle_after_return, control.hand_over):
        act(disk.runner, "/dev/vda", LAYOUT, PLAN)
    assert called == ["prepare_lifeboat", "take_control", "withdraw", "settle_after_return", "hand_over"]
