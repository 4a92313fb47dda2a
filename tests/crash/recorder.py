# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""QEMU as the machine that is cut: starts an image, logs its writes, and says what it printed."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import firmware

from . import filesystems
from .combos import Combo
from .old_system import MARK
from .stage_one import RUN_ID, SERIAL
from .write_log import entries_so_far

MEMORY_MIB = 512
#: A machine that says nothing for this long has stopped; under emulation nothing is silent for half of it. Time in
#: which it was kept waiting for a processor does not count: a busy computer is no fault of the machine.
SILENT_SECONDS = 150.0
#: Before a kernel of stage two runs there is only firmware and GRUB, which fail without a word.
STUCK_SECONDS = 120.0
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

OLD = re.compile(re.escape(MARK) + r"[^\n]*\s+INITRD initrd-of-old")
NEW = re.compile(rf"KERNEL [^\n]*dualroot\.slot=(\w) dualroot\.run={re.escape(RUN_ID)}[^\n]*\s+INITRD initrd-of-new")
HELD = re.compile(r"waits for a person: ([^\n]*)|the recovery system runs: ([^\n]*)|the machine stays as it is")
STAGE_TWO = "dualroot: convert environment"
_NOTHING_TO_START = ("No bootable device", "grub rescue>", "BdsDxe: No bootable option", "Shell> ")


@dataclass
class Run:
    """What one start of an image gave; ``end`` is ``old``, ``new``, ``held``, ``nothing`` or ``silent``."""

    end: str
    text: str
    seconds: float
    marks: list[tuple[int, str]] = field(default_factory=list)
    #: Copies of the firmware's variables: the entries of the log between which they changed, and the file's name.
    variables: list[tuple[int, int, str]] = field(default_factory=list)

    @property
    def stage_two_starts(self) -> int:
        return self.text.count(STAGE_TWO)

    @property
    def reason(self) -> str:
        found = HELD.search(self.text)
        return next((group for group in found.groups() if group), found[0]) if found else ""


def arguments(combo: Combo, variables: Path | None) -> list[str]:
    """Return QEMU's argv without the disk, whose node or drive is to be called ``disk``."""
    chipset = "q35" if combo.firmware == "uefi" or combo.bus == "sata" else "pc"
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", chipset, "-m", str(MEMORY_MIB), "-smp", "1"]
    argv += ["-nodefaults", "-vga", "std", "-display", "none", "-serial", "stdio", "-device", "virtio-rng-pci"]
    # What SeaBIOS says of itself goes among the rest.
    argv += ["-chardev", "file,id=firmware,path=/dev/stderr", "-device", "isa-debugcon,iobase=0x402,chardev=firmware"]
    if variables is not None:
        argv += firmware.qemu_arguments(variables.parent)
    device = {"virtio": "virtio-blk-pci", "sata": "ide-hd,bus=ide.0", "nvme": "nvme"}[combo.bus]
    device += f",drive=disk,serial={SERIAL}"
    if combo.bus == "virtio":
        # A merged request may have IOV_MAX pieces, and blklogwrites adds two of its own: the log then misses the write.
        device += ",request-merging=off"
    if combo.sector_bytes != 512:
        device += f",logical_block_size={combo.sector_bytes},physical_block_size={combo.sector_bytes}"
    return [*argv, "-device", device]


def start(combo: Combo, image: Path, seconds: float, variables: Path | None = None) -> Run:
    """Start an image and let it go on, restarts included, until it is clear how it ends."""
    drive = f"file={image},format=raw,if=none,id=disk,cache=unsafe"
    return watch([*arguments(combo, variables), "-drive", drive], seconds)


def record(combo: Combo, image: Path, log: Path, seconds: float, variables: Path | None = None) -> Run:
    """Like ``start``, with every write in ``log``; ``marks`` tells lines of the console by entries of the log."""
    log.write_bytes(b"")
    argv = arguments(combo, variables)
    argv += _logged(image, log)
    with _Follower(log, variables) as follower:
        run = watch(argv, seconds, follower)
    run.marks, run.variables = follower.marks, follower.variables
    return run


def _logged(image: Path, log: Path) -> list[str]:
    writes = "driver=blklogwrites,node-name=disk,file=image,log=log,log-super-update-interval=1"
    return [
        *("-blockdev", f"driver=file,filename={image},node-name=image"),
        *("-blockdev", f"driver=file,filename={log},node-name=log"),
        *("-blockdev", writes),
    ]


@contextlib.contextmanager
def exported(image: Path, log: Path, at: Path) -> Iterator[Path]:
    """Show an image as the file ``at`` (FUSE); whatever is written to it is logged."""
    log.write_bytes(b"")
    at.write_bytes(b"")
    argv = ["qemu-storage-daemon", *(word.replace("-blockdev", "--blockdev") for word in _logged(image, log))]
    argv += ["--export", f"type=fuse,id=export,node-name=disk,mountpoint={at},writable=on"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as daemon:
        try:
            end = time.monotonic() + 20
            while at.stat().st_size == 0:
                if daemon.poll() is not None or time.monotonic() > end:
                    raise RuntimeError("qemu-storage-daemon does not show the image")
                time.sleep(0.05)
            yield at
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait(60)


def can_export() -> bool:
    """Tell whether this machine can log what stage one writes."""
    return Path("/dev/fuse").exists() and shutil.which("qemu-storage-daemon") is not None


class _Follower:
    """Notes during a recording how many writes there were when something was said, or a variable changed.

    Variables are looked at many times a second, by a thread: their order among the writes of the disk counts.
    """

    def __init__(self, log: Path, variables: Path | None) -> None:
        self._log = log
        self._path = variables
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow_variables, daemon=True)
        self.marks: list[tuple[int, str]] = []
        self.variables: list[tuple[int, int, str]] = []

    def __enter__(self) -> _Follower:
        if self._path is not None:
            self._thread.start()
        return self

    def __exit__(self, *_unused: object) -> None:
        self._stop.set()
        if self._path is not None:
            self._thread.join()

    def look(self, text: str) -> None:
        line = _last_line(text)
        if line and (not self.marks or self.marks[-1][1] != line):
            self.marks.append((entries_so_far(self._log), line))

    def _follow_variables(self) -> None:
        if self._path is None:
            return
        before, changed = 0, -1
        while not self._stop.is_set():
            found = self._path.stat().st_mtime_ns
            position = entries_so_far(self._log)
            if found != changed:
                changed = found
                if self.variables and self.variables[-1][1] == position:
                    # The disk was not written to since: one copy is enough.
                    before = self.variables.pop()[0]
                name = f"{len(self.variables)}.fd"
                shutil.copyfile(self._path, self._path.parent / name)
                self.variables.append((before, position, name))
            before = position
            self._stop.wait(0.002)


def watch(argv: list[str], seconds: float, follower: _Follower | None = None) -> Run:
    started = last = time.monotonic()
    waited = 0.0
    text, end = "", ""
    argv = ["setpriv", "--pdeathsig", "KILL", "--", *argv]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if process.stdout is None:
            raise RuntimeError("no output of QEMU")
        handle = process.stdout.fileno()
        try:
            while not end:
                ready, _writable, _failed = select.select([handle], [], [], 0.2)
                now = time.monotonic()
                if ready:
                    piece = os.read(handle, 65536)
                    if not piece:
                        end = "nothing"
                        break
                    text += _plain(piece)
                    last, waited = now, kept_waiting(process.pid)
                if follower is not None:
                    follower.look(text)
                patience = SILENT_SECONDS if STAGE_TWO in text else STUCK_SECONDS
                silent = now - last > patience and now - last - (kept_waiting(process.pid) - waited) > patience
                end = _ended(text) or ("silent" if now - started > seconds or silent else "")
        finally:
            process.kill()
    return Run(end, text, time.monotonic() - started)


def kept_waiting(process: int) -> float:
    """Return for how many seconds a process was ready to run and had no processor, by its thread that waited longest.

    Linux, Documentation/scheduler/sched-stats.rst: the second field of schedstat, in nanoseconds. Zero where the
    kernel does not count it.
    """
    found = [0]
    with contextlib.suppress(OSError, IndexError, ValueError):
        for path in Path(f"/proc/{process}/task").glob("*/schedstat"):
            found.append(int(path.read_text().split()[1]))
    return max(found) / 1e9


def _ended(text: str) -> str:
    checks: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("new", NEW.search),
        ("old", OLD.search),
        ("held", HELD.search),
        ("nothing", lambda said: any(words in said for words in _NOTHING_TO_START)),
    )
    return next((name for name, holds in checks if holds(text)), "")


def _plain(piece: bytes) -> str:
    return _SEQUENCE.sub("", piece.decode("latin-1")).replace("\r", "")


def _last_line(text: str) -> str:
    lines = [line for line in text[: text.rfind("\n") + 1][-2000:].splitlines() if line.startswith("dualroot: ")]
    return lines[-1] if lines else ""


def fresh_variables(folder: Path) -> Path:
    """Make the variables of a mainboard that knows no boot entry."""
    folder.mkdir(parents=True, exist_ok=True)
    firmware.make_variables(folder)
    return folder / firmware.VARIABLES


def copy_image(source: Path, target: Path) -> None:
    filesystems.run("cp", "--sparse=always", str(source), str(target))
