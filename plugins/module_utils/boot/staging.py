# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage a run on the old system, arm it, and take it back; what the module ``initramfs_stage`` does.

First everything is compared, then only what differs is done: ``Staging.pending`` is all that check mode
needs, and a second run finds nothing to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..archive.durable import sync_directory, write_file
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..plan import document
from ..runner import Runner
from . import cpio, fetch, host_loader, one_shot
from .fetch import Artefact
from .settle import settle

BOOT_DIRECTORY = Path("/boot/dualroot")
STATE_DIRECTORY = Path("/var/lib/dualroot")
KERNEL = "vmlinuz"
INITRD = "initrd.img"
HOST_CPIO = "host.cpio"
#: Initrd and host part in one file, for grubby, which takes one initramfs only.
COMBINED = "combined.img"
PLAN = "plan.json"
CAPTURE = "capture.json"
_SECRETS = (HOST_CPIO, HOST_CPIO + ".new", COMBINED, COMBINED + ".new")


@dataclass(frozen=True)
class Change:
    """One thing that is not yet as it should be; ``bytes`` is what it takes on the disk."""

    what: str
    path: str
    bytes: int = 0


class Staging:
    """The staging of one plan; ``source`` is where the bundle's files are, ``capture`` is on this host."""

    def __init__(
        self,
        runner: Runner,
        plan: Mapping[str, Any],
        source: str,
        capture: Path,
        boot_directory: Path = BOOT_DIRECTORY,
    ) -> None:
        self.runner = runner
        self.plan = document.load(plan)
        self.source = source or str(self.plan["staging"]["directory"])
        self.capture = capture
        self.boot_directory = boot_directory
        self.directory = Path(self.plan["staging"]["directory"])
        self.run_directory = Path(self.plan["staging"]["run_directory"])
        self._digests: dict[tuple[int, int], str] = {}
        self.loader = host_loader.detect(runner)
        one_shot.check_support(self.loader)

    def pending(self) -> list[Change]:
        """Return what is to be done, in its order; changes nothing.

        Raises ``Fault`` ``boot.capture_missing`` or ``boot.no_space``.
        """
        changes = [*self._pending_files(), *self._pending_boot_files()]
        self._check_space(changes)
        text = self._wanted_entry()
        if self.loader.reads_custom_config and text != one_shot.read_custom_config(self.loader):
            changes.append(Change("entry", str(self.loader.custom_config)))
        elif not self.loader.reads_custom_config and not self._has_grubby_entry():
            changes.append(Change("entry", self.loader.grubby))
        return changes

    def apply(self) -> list[Change]:
        """Do what is pending and return it."""
        changes = self.pending()
        for folder in (
            self.directory.parent,
            self.directory,
            self.run_directory.parent,
            self.run_directory,
            self.boot_directory,
        ):
            _make_private(folder)
        for change in changes:
            self._apply(change)
        if changes:
            settle(self.directory)
            settle(self.boot_directory)
        return changes

    def entry(self) -> one_shot.Entry:
        names = (INITRD, HOST_CPIO) if self.loader.reads_custom_config else (COMBINED,)
        return one_shot.Entry(
            run_id=str(self.plan["run_id"]),
            kernel=self.boot_directory / KERNEL,
            initrds=tuple(self.boot_directory / name for name in names),
            arguments=one_shot.arguments(self.plan),
        )

    def armed_entry(self) -> str:
        return one_shot.armed_entry(self.runner, self.loader)

    def is_armed(self) -> bool:
        return self.armed_entry() == one_shot.ENTRY_ID

    def arm(self) -> str:
        return one_shot.arm(self.runner, self.loader)

    def artefacts(self) -> dict[str, Artefact]:
        """Return the bundle's files and where they are staged."""
        found = {}
        parts = {**self.plan["environment"], "payload": self.plan["payload"]}
        for name in ("kernel", "initrd", "payload"):
            part = parts[name]
            target = self.directory / Path(part["file"]).name
            found[name] = Artefact(part["file"], target, part["sha256"], part["size"])
        return found

    def _pending_files(self) -> Iterator[Change]:
        for name, artefact in self.artefacts().items():
            if not self._is_present(artefact):
                yield Change(name, str(artefact.target), artefact.size)
        for path, content in ((self.directory / PLAN, self._plan_text()), (self._capture_path(), None)):
            wanted = self._capture_bytes() if content is None else content
            if _differs(path, wanted):
                yield Change(path.name, str(path), len(wanted))

    def _is_present(self, artefact: Artefact) -> bool:
        """Tell whether the target is there, whole and right; a file with two names is read once."""
        path = artefact.target
        if not path.is_file() or path.stat().st_size != artefact.size:
            return False
        identity = (path.stat().st_dev, path.stat().st_ino)
        if identity not in self._digests:
            self._digests[identity] = fetch.file_digest(path)
        return self._digests[identity] == artefact.sha256

    def _pending_boot_files(self) -> Iterator[Change]:
        artefacts = self.artefacts()
        for name, file_name in (("kernel", KERNEL), ("initrd", INITRD)):
            part = artefacts[name]
            target = self.boot_directory / file_name
            if not self._is_present(replace(part, target=target)):
                yield Change(f"boot {name}", str(target), part.size)
        wanted = self._host_cpio()
        if _differs(self.boot_directory / HOST_CPIO, wanted):
            yield Change(HOST_CPIO, str(self.boot_directory / HOST_CPIO), len(wanted))
        if not self.loader.reads_custom_config:
            size = artefacts["initrd"].size + len(wanted)
            combined = self.boot_directory / COMBINED
            if self._is_stale(combined):
                yield Change(COMBINED, str(combined), size)

    def _apply(self, change: Change) -> None:
        artefacts = self.artefacts()
        path = Path(change.path)
        if change.what in artefacts:
            fetch.fetch(self.runner, artefacts[change.what], self.source)
        elif change.what.startswith("boot "):
            part = artefacts[change.what[5:]]
            fetch.link_or_copy(part.target, replace(part, target=path))
        elif change.what == PLAN:
            write_file(path, self._plan_text(), 0o600)
        elif change.what == CAPTURE:
            write_file(path, self._capture_bytes(), 0o600)
        elif change.what == HOST_CPIO:
            fetch.shred(path)
            write_file(path, self._host_cpio(), 0o600)
        elif change.what == COMBINED:
            fetch.shred(path)
            write_file(path, self._combined(), 0o600)
        elif self.loader.reads_custom_config:
            one_shot.write_custom_config(self.loader, self._wanted_entry())
        else:
            one_shot.add_grubby_entry(self.runner, self.loader, self.entry())

    def _check_space(self, changes: list[Change]) -> None:
        same = _device(self.directory) == _device(self.boot_directory)
        needed = {self.directory: 0, self.boot_directory: 0}
        for change in changes:
            if same and change.what.startswith("boot "):
                # A link to the staged file.
                continue
            inside = Path(change.path).parent == self.boot_directory and not same
            needed[self.boot_directory if inside else self.directory] += change.bytes
        for directory, count in needed.items():
            fetch.check_space(directory, count)

    def _wanted_entry(self) -> str:
        if not self.loader.reads_custom_config:
            return ""
        return one_shot.custom_config(self.runner, self.loader, self.entry())

    def _has_grubby_entry(self) -> bool:
        return one_shot.has_grubby_entry(self.runner, self.loader, self.boot_directory / KERNEL)

    def _plan_text(self) -> bytes:
        return (json.dumps(self.plan, sort_keys=True, indent=1) + "\n").encode("ascii")

    def _capture_path(self) -> Path:
        return self.directory / CAPTURE

    def _capture_bytes(self) -> bytes:
        try:
            content = self.capture.read_bytes()
            json.loads(content)
        except (OSError, ValueError) as error:
            # The text of a JSON error may quote the capture, which is secret.
            problem = error.strerror if isinstance(error, OSError) else "it is no JSON document"
            raise Fault(kinds.CAPTURE_MISSING, path=self.capture, problem=problem) from None
        return content

    def _host_cpio(self) -> bytes:
        files = {PLAN: self._plan_text(), CAPTURE: self._capture_bytes()}
        return cpio.pack({f"etc/dualroot/{name}": content for name, content in files.items()})

    def _combined(self) -> bytes:
        initrd = (self.boot_directory / INITRD).read_bytes()
        # The kernel skips zeros between archives and wants each to begin at a multiple of four.
        return initrd + b"\0" * (-len(initrd) % 4) + self._host_cpio()

    def _is_stale(self, combined: Path) -> bool:
        initrd = self.boot_directory / INITRD
        if not combined.is_file() or not initrd.is_file():
            return True
        return combined.read_bytes() != self._combined()


def remains(
    runner: Runner, boot_directory: Path = BOOT_DIRECTORY, state_directory: Path = STATE_DIRECTORY
) -> list[Change]:
    """Return what ``disarm`` would take away, in its order; changes nothing."""
    found = []
    loader = _loader(runner)
    if loader is not None:
        if one_shot.ENTRY_ID in one_shot.armed_entry(runner, loader):
            found.append(Change("one-shot", str(loader.environment)))
        text = one_shot.read_custom_config(loader)
        if text != one_shot.with_block(text, ""):
            found.append(Change("entry", str(loader.custom_config)))
        kernel = boot_directory / KERNEL
        by_grubby = not loader.reads_custom_config and bool(loader.grubby)
        if by_grubby and one_shot.has_grubby_entry(runner, loader, kernel):
            found.append(Change("grubby entry", str(kernel)))
    for folder in (boot_directory, state_directory / "stage"):
        if folder.is_dir():
            found.append(Change("folder", str(folder), sum(path.stat().st_size for path in folder.iterdir())))
    return found


def disarm(
    runner: Runner, boot_directory: Path = BOOT_DIRECTORY, state_directory: Path = STATE_DIRECTORY
) -> list[Change]:
    """Take a staging back: the one-shot first, then the entry, then the files, secrets shredded."""
    changes = remains(runner, boot_directory, state_directory)
    loader = _loader(runner)
    for change in changes:
        if change.what == "folder":
            _remove_folder(Path(change.path))
        elif loader is not None and change.what == "one-shot":
            one_shot.disarm(runner, loader)
        elif loader is not None and change.what == "entry":
            text = one_shot.with_block(one_shot.read_custom_config(loader), "")
            one_shot.write_custom_config(loader, text)
        elif loader is not None:
            one_shot.remove_grubby_entry(runner, loader, Path(change.path))
    return changes


def armed_entry(runner: Runner) -> str:
    """Return the one-shot entry of this host, empty if there is none."""
    loader = _loader(runner)
    return one_shot.armed_entry(runner, loader) if loader else ""


def _loader(runner: Runner) -> host_loader.HostLoader | None:
    # A host without GRUB has no entry to take back, but may have files.
    with contextlib.suppress(Fault):
        return host_loader.detect(runner)
    return None


def _remove_folder(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name in _SECRETS or path.name.startswith(CAPTURE):
            fetch.shred(path)
    shutil.rmtree(folder)
    sync_directory(folder.parent)


def _differs(path: Path, wanted: bytes) -> bool:
    if not path.is_file() or path.stat().st_size != len(wanted) or path.stat().st_mode & 0o077:
        return True
    return path.read_bytes() != wanted


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def _device(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return os.stat(path).st_dev
