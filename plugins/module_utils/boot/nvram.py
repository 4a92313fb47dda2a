# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firmware's boot entries and their order, on a UEFI host.

They are read from efivarfs as the bytes that they are (UEFI specification 2.10, 3.1.3 and 10.3.5.1; the
kernel's document filesystems/efivarfs), and written by efibootmgr, which knows the firmwares' ways.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..disk import sysfs
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..runner import CommandFailed, Runner

DIRECTORY = "sys/firmware/efi/efivars"
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#: LOAD_OPTION_ACTIVE.
_ACTIVE = 1
#: Types and subtypes of device path nodes: hard drive, file path, end.
_HARD_DRIVE, _FILE_PATH, _END = (4, 1), (4, 4), 0x7F
#: linux/fs.h: FS_IOC_GETFLAGS, FS_IOC_SETFLAGS (both of a long, of which 32 bits are used), FS_IMMUTABLE_FL.
_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
_ORDER = "the order of the entries"


@dataclass(frozen=True)
class BootEntry:
    """One entry; ``partuuid`` (lower case) and ``loader`` (with backslashes) are empty for other kinds."""

    number: str
    label: str
    active: bool
    partuuid: str
    loader: str


def variable(name: str, root: Path = sysfs.ROOT) -> bytes | None:
    """Return the value of a global variable, None where there is none; its four bytes of attributes are left out."""
    try:
        return (root / DIRECTORY / f"{name}-{_GLOBAL}").read_bytes()[4:]
    except OSError:
        return None


def order(root: Path = sysfs.ROOT) -> tuple[str, ...]:
    """Return ``BootOrder`` as numbers of four hexadecimal digits."""
    data = variable("BootOrder", root) or b""
    return tuple(f"{number:04X}" for (number,) in struct.iter_unpack("<H", data[: len(data) // 2 * 2]))


def current(root: Path = sysfs.ROOT) -> str:
    """Return the number of the entry that started this system, empty where the firmware does not tell."""
    data = variable("BootCurrent", root) or b""
    return f"{struct.unpack('<H', data[:2])[0]:04X}" if len(data) >= 2 else ""


def entries(root: Path = sysfs.ROOT) -> tuple[BootEntry, ...]:
    """Return every entry that can be read, by number; those outside the order too."""
    found = []
    for name in sysfs.listing(root, DIRECTORY):
        number = name[4:8]
        if name.startswith("Boot") and name[8:] == f"-{_GLOBAL}" and _is_number(number):
            entry = parse(number.upper(), variable(f"Boot{number}", root) or b"")
            if entry is not None:
                found.append(entry)
    return tuple(found)


def parse(number: str, data: bytes) -> BootEntry | None:
    """Return the entry of an ``EFI_LOAD_OPTION``, None where it is damaged."""
    if len(data) < 8:
        return None
    attributes, length = struct.unpack_from("<IH", data)
    end = next((at for at in range(6, len(data) - 1, 2) if data[at : at + 2] == b"\0\0"), None)
    if end is None:
        return None
    partuuid, loader = "", ""
    for kind, body in _nodes(data[end + 2 : end + 2 + length]):
        if kind == _HARD_DRIVE and len(body) >= 38 and body[37] == 2:
            partuuid = str(uuid.UUID(bytes_le=body[20:36]))
        elif kind == _FILE_PATH:
            loader += body.decode("utf-16-le", "replace").rstrip("\0")
    return BootEntry(number, data[6:end].decode("utf-16-le", "replace"), bool(attributes & _ACTIVE), partuuid, loader)


def _nodes(path: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    at = 0
    while at + 4 <= len(path):
        major, minor, length = struct.unpack_from("<BBH", path, at)
        if major == _END or length < 4:
            return
        yield (major, minor), path[at + 4 : at + length]
        at += length


def find(partuuid: str, loader: str, root: Path = sysfs.ROOT) -> list[BootEntry]:
    """Return the entries that start ``loader`` of the partition; firmwares do not tell letter cases apart."""
    wanted = (partuuid.lower(), loader.lower())
    return [one for one in entries(root) if (one.partuuid, one.loader.lower()) == wanted]


def create(
    runner: Runner, disk: str, partition: int, partuuid: str, loader: str, label: str, root: Path = sysfs.ROOT
) -> BootEntry:
    """Return the entry for a loader, made if it is not there; the order is not touched.

    Raises ``Fault`` ``boot.nvram_unwritable``.
    """
    found = find(partuuid, loader, root)
    if not found:
        argv = ["efibootmgr", "--quiet", "--create-only", "--disk", disk, "--part", str(partition)]
        _run(runner, [*argv, "--label", label, "--loader", loader], f"the entry {label!r}")
        found = find(partuuid, loader, root)
    if not found:
        raise Fault(kinds.NVRAM_UNWRITABLE, what=f"the entry {label!r}", problem="it is not there after it was written")
    if not found[0].active:
        _run(runner, ["efibootmgr", "--quiet", "--bootnum", found[0].number, "--active"], f"the entry {label!r}")
    return found[0]


def put_first(runner: Runner, number: str, root: Path = sysfs.ROOT) -> None:
    """Let an entry be tried first, the others behind it as they were: one write, read back.

    Only what reads back decides: a firmware may drop other entries, and a tool may fail after the write.
    Does nothing where it is first already. Raises ``Fault`` ``boot.nvram_unwritable``.
    """
    present = order(root)
    if present[:1] == (number,):
        return
    problem = "another entry is still first"
    wanted = ",".join((number, *(one for one in present if one != number)))
    try:
        _run(runner, ["efibootmgr", "--quiet", "--bootorder", wanted], _ORDER)
    except Fault as fault:
        problem = fault.what
    if order(root)[:1] != (number,):
        raise Fault(kinds.NVRAM_UNWRITABLE, what=_ORDER, problem=problem)


def remove(runner: Runner, number: str) -> None:
    """Take an entry away; efibootmgr takes it out of the order as well."""
    _run(runner, ["efibootmgr", "--quiet", "--bootnum", number, "--delete-bootnum"], f"the end of entry {number}")


def remove_variable(number: str, root: Path = sysfs.ROOT) -> None:
    """Take an entry that is in no order away without efibootmgr; raises ``Fault`` ``boot.nvram_unwritable``.

    The kernel keeps its variables from being removed by accident (filesystems/efivarfs: the immutable flag).
    """
    path = root / DIRECTORY / f"Boot{number}-{_GLOBAL}"
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            flags = bytearray(8)
            with contextlib.suppress(OSError):
                fcntl.ioctl(handle, _GET_FLAGS, flags, True)
                kept = int.from_bytes(flags[:4], "little") & ~_IMMUTABLE
                fcntl.ioctl(handle, _SET_FLAGS, kept.to_bytes(8, "little"))
        finally:
            os.close(handle)
        path.unlink()
    except OSError as error:
        what = f"the end of entry {number}"
        raise Fault(kinds.NVRAM_UNWRITABLE, what=what, problem=error.strerror or error) from error


def _run(runner: Runner, argv: Sequence[str], what: str) -> None:
    try:
        runner.run(list(argv))
    except CommandFailed as failed:
        words = failed.result.error_text.strip() or f"status {failed.result.returncode}"
        raise Fault(kinds.NVRAM_UNWRITABLE, what=what, problem=words) from failed


def _is_number(text: str) -> bool:
    return len(text) == 4 and all(letter in "0123456789abcdefABCDEF" for letter in text)
