# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage a run on the old system and arm it; what the module ``initramfs_stage`` does.

First everything is compared, then only what differs is done: ``Staging.pending`` is all that check mode
needs, and a second run finds nothing to do. Nothing is armed while anything is changed, so whatever
stops a staging, the next start is the old system's and the next run goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..archive.durable import sync_directory, write_file
from ..faults import boot as kinds
from ..faults.fault import Fault
from ..lifeboat import berth, claim
from ..lifeboat.model import Lifeboat
from ..plan import document
from ..runner import Runner
from . import fetch, host_loader, one_shot
from .fetch import Artefact
from .settle import settle
from .staged_lifeboat import StagedLifeboat, pack, release

BOOT_DIRECTORY = Path("/boot/dualroot")
STATE_DIRECTORY = Path("/var/lib/dualroot")
KERNEL = "vmlinuz"
INITRD = "initrd.img"
HOST_CPIO = "host.cpio"
#: Initrd and host part in one file, for grubby, which takes one initramfs only.
COMBINED = "combined.img"
PLAN = "plan.json"
CAPTURE = "capture.json"
#: The staged payload, once the lifeboat has it.
PAYLOAD_COPY = "payload copy"


@dataclass(frozen=True)
class Change:
    """One thing that is not yet as it should be; ``bytes`` is what it takes on the disk."""

    what: str
    path: str
    bytes: int = 0


@dataclass(frozen=True)
class _Seen:
    """The lifeboat as it is now: what would be done, and where the room is there, its places and its faults."""

    staged: StagedLifeboat | None = None
    lifeboat: Lifeboat | None = None
    host: bytes = b""
    wrong: tuple[str, ...] = ()


class Staging:
    """The staging of one plan; ``source`` is where the bundle's files are, ``capture`` is on this host.

    ``extra`` goes into the host's own part of the initramfs, by path below ``etc/dualroot``.
    """

    def __init__(
        self,
        runner: Runner,
        plan: Mapping[str, Any],
        source: str,
        capture: Path,
        boot_directory: Path = BOOT_DIRECTORY,
        extra: Mapping[str, bytes] | None = None,
    ) -> None:
        self.runner = runner
        self.plan = document.load(plan)
        self.source = source or str(self.plan["staging"]["directory"])
        self.capture = capture
        self.boot_directory = boot_directory
        self.extra = dict(extra or {})
        self.directory = Path(self.plan["staging"]["directory"])
        self.run_directory = Path(self.plan["staging"]["run_directory"])
        self._digests: dict[tuple[int, int], str] = {}
        self._staged: StagedLifeboat | None = None
        self.loader = host_loader.detect(runner)
        one_shot.check_support(self.loader)

    def pending(self) -> list[Change]:
        """Return what is to be done, in its order; changes nothing.

        Raises ``Fault`` ``boot.capture_missing``, ``boot.no_space``, ``lifeboat.place_taken``.
        """
        lifeboat = self._look_at_lifeboat()
        changes = [*self._pending_files(lifeboat), *self._pending_lifeboat(lifeboat)]
        changes += self._pending_boot_files(lifeboat)
        self._check_space(changes, lifeboat)
        text = self._wanted_entry()
        if self.loader.reads_custom_config and text != one_shot.read_custom_config(self.loader):
            changes.append(Change("entry", str(self.loader.custom_config)))
        elif not self.loader.reads_custom_config and not self._has_grubby_entry():
            changes.append(Change("entry", self.loader.grubby))
        return [*changes, *self._pending_payload_copy(lifeboat)]

    def apply(self) -> list[Change]:
        """Do what is pending and return it."""
        changes = self.pending()
        if changes and self.is_armed():
            # Files of two plans must never be started together.
            one_shot.disarm(self.runner, self.loader)
        for folder in (
            self.directory.parent,
            self.directory,
            self.run_directory.parent,
            self.run_directory,
            self.boot_directory,
        ):
            make_private(folder)
        for change in changes:
            self._apply(change)
        if any(change.what == "lifeboat" for change in changes):
            # Only now it is known whether a part of the payload waits for stage two.
            left = list(self._pending_payload_copy(self._look_at_lifeboat(proven=True)))
            for change in left:
                self._apply(change)
            changes += left
        if changes:
            settle(self.directory)
            settle(self.boot_directory)
        return changes

    def lifeboat(self) -> Lifeboat | None:
        """Return the lifeboat as it is described on this host; None for a plan without one."""
        return berth.read_document(self.directory) if self.uses_lifeboat else None

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

    @property
    def uses_lifeboat(self) -> bool:
        return bool(self.plan["lifeboat"]["used"])

    def _pending_files(self, lifeboat: _Seen) -> Iterator[Change]:
        for name, artefact in self.artefacts().items():
            if name == "payload" and not self._needs_payload(lifeboat):
                continue
            if not self._is_present(artefact):
                yield Change(name, str(artefact.target), artefact.size)
        for path, content in ((self.directory / PLAN, self._plan_text()), (self._capture_path(), None)):
            wanted = self._capture_bytes() if content is None else content
            if _differs(path, wanted):
                yield Change(path.name, str(path), len(wanted))

    def _look_at_lifeboat(self, proven: bool = False) -> _Seen:
        if not self.uses_lifeboat:
            return _Seen()
        staged = self._staged_lifeboat()
        found = staged.look()
        if found is None:
            return _Seen(staged)
        return _Seen(staged, *found, () if proven else tuple(staged.wrong(*found)))

    def _pending_lifeboat(self, seen: _Seen) -> Iterator[Change]:
        left = self.directory.parent / claim.FILE.name
        if seen.staged is None:
            if left.exists():
                yield Change("lifeboat", str(left))
        elif seen.lifeboat is None or seen.wrong:
            yield Change("lifeboat", str(seen.staged.path), seen.staged.count_bytes(seen.lifeboat, list(seen.wrong)))

    def _pending_payload_copy(self, seen: _Seen) -> Iterator[Change]:
        payload = self.artefacts()["payload"].target
        if payload.exists() and not self._needs_payload(seen):
            yield Change(PAYLOAD_COPY, str(payload))

    def _needs_payload(self, seen: _Seen) -> bool:
        """Tell whether the staged payload is needed: for memory, to fill the lifeboat, or later for swap."""
        if seen.staged is None or seen.lifeboat is None:
            return True
        return "payload" in seen.wrong or seen.staged.needs_payload(seen.lifeboat)

    def _staged_lifeboat(self) -> StagedLifeboat:
        if self._staged is None:
            sources = {name: artefact.target for name, artefact in self.artefacts().items()}
            ground = berth.ground_of(self.runner, self.plan, self.directory.parent)
            place = berth.Berth(self.plan, ground)
            self._staged = StagedLifeboat(place, self.directory, sources, self._host_files())
        return self._staged

    def _is_present(self, artefact: Artefact) -> bool:
        """Tell whether the target is there, whole and right; a file with two names is read once."""
        path = artefact.target
        if not path.is_file() or path.stat().st_size != artefact.size:
            return False
        identity = (path.stat().st_dev, path.stat().st_ino)
        if identity not in self._digests:
            self._digests[identity] = fetch.file_digest(path)
        return self._digests[identity] == artefact.sha256

    def _pending_boot_files(self, seen: _Seen) -> Iterator[Change]:
        artefacts = self.artefacts()
        for name, file_name in (("kernel", KERNEL), ("initrd", INITRD)):
            part = artefacts[name]
            target = self.boot_directory / file_name
            if not self._is_present(replace(part, target=target)):
                yield Change(f"boot {name}", str(target), part.size)
        wanted = seen.host or pack(self._host_files())
        unknown = seen.staged is not None and not seen.host
        if unknown or _differs(self.boot_directory / HOST_CPIO, wanted):
            yield Change(HOST_CPIO, str(self.boot_directory / HOST_CPIO), len(wanted))
        if not self.loader.reads_custom_config:
            size = artefacts["initrd"].size + len(wanted)
            combined = self.boot_directory / COMBINED
            if unknown or self._is_stale(combined, wanted):
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
        elif change.what == "lifeboat":
            self._apply_lifeboat(path)
        elif change.what == PAYLOAD_COPY:
            path.unlink()
            sync_directory(path.parent)
        elif change.what == HOST_CPIO:
            fetch.shred(path)
            write_file(path, self._host_cpio(), 0o600)
        elif change.what == COMBINED:
            fetch.shred(path)
            write_file(path, self._combined(self._host_cpio()), 0o600)
        elif self.loader.reads_custom_config:
            one_shot.write_custom_config(self.loader, self._wanted_entry())
        else:
            one_shot.add_grubby_entry(self.runner, self.loader, self.entry())

    def _apply_lifeboat(self, path: Path) -> None:
        if self.uses_lifeboat:
            self._staged_lifeboat().put()
            return
        release(self.runner, path.parent, self.directory)

    def _check_space(self, changes: list[Change], seen: _Seen) -> None:
        same = _device(self.directory) == _device(self.boot_directory)
        needed = {self.directory: 0, self.boot_directory: 0}
        for change in changes:
            if same and change.what.startswith("boot "):
                # A link to the staged file.
                continue
            inside = Path(change.path).parent == self.boot_directory and not same
            # Most of a lifeboat may lie beside the file system, or have its blocks from an earlier try.
            count = change.bytes
            if seen.staged is not None and change.what == "lifeboat":
                count = seen.staged.room_bytes(seen.lifeboat)
            needed[self.boot_directory if inside else self.directory] += count
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
        read_capture(self.capture)
        return self.capture.read_bytes()

    def _host_files(self) -> dict[str, bytes]:
        return {PLAN: self._plan_text(), CAPTURE: self._capture_bytes(), **self.extra}

    def _host_cpio(self) -> bytes:
        """Return the host's own part as it is to be; with a lifeboat that is known once it has its place."""
        found = self._staged_lifeboat().look() if self.uses_lifeboat else None
        return found[1] if found else pack(self._host_files())

    def _combined(self, host: bytes) -> bytes:
        initrd = (self.boot_directory / INITRD).read_bytes()
        # The kernel skips zeros between archives and wants each to begin at a multiple of four.
        return initrd + b"\0" * (-len(initrd) % 4) + host

    def _is_stale(self, combined: Path, host: bytes) -> bool:
        initrd = self.boot_directory / INITRD
        if not combined.is_file() or not initrd.is_file():
            return True
        return combined.read_bytes() != self._combined(host)


def read_capture(path: Path) -> Any:
    """Return the capture on this host; raises ``Fault`` ``boot.capture_missing``."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        # The text of a JSON error may quote the capture, which is secret.
        problem = error.strerror if isinstance(error, OSError) else "it is no JSON document"
        raise Fault(kinds.CAPTURE_MISSING, path=path, problem=problem) from None


def _differs(path: Path, wanted: bytes) -> bool:
    if not path.is_file() or path.stat().st_size != len(wanted) or path.stat().st_mode & 0o077:
        return True
    return path.read_bytes() != wanted


def make_private(folder: Path) -> None:
    """Make a folder that only root can read, with its parents."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)


def _device(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return os.stat(path).st_dev
