# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stage a restore on the running slot, and arm its one-shot; what the module ``revive_stage`` does.

Nothing is armed while anything is changed, so whatever stops it, the next start is the running slot's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..archive.durable import sync_directory, write_file
from ..boot import fetch, slots
from ..boot.fetch import Artefact
from ..boot.settle import settle
from ..boot.staged_lifeboat import StagedLifeboat, pack, release
from ..boot.staging import CAPTURE, PLAN, Change, make_private, read_capture
from ..disk import identity
from ..faults import revive as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from ..lifeboat import berth
from ..plan import document
from ..runner import Runner
from ..snapshot import evidence
from . import once, saved, slot_b

#: Where the pieces lie in the host's part of the initramfs, by their number in the plan.
PIECES = "old"
STAGE_DIRECTORY = Path("/var/lib/dualroot/stage")
_CONFIG = "grub/grub.cfg"


class Staging:
    """The staging of one plan; ``source`` is where the bundle's files are, an address or a folder of the host.

    Archive and evidence are in the staging directory already. ``extra`` goes into the host's own part of the
    initramfs, by path below ``etc/dualroot``.
    """

    def __init__(
        self,
        runner: Runner,
        plan: Mapping[str, Any],
        source: str,
        extra: Mapping[str, bytes] | None = None,
        dispatch: Path = slots.DISPATCH,
    ) -> None:
        self.runner = runner
        self.plan = document.load(plan)
        self.directory = Path(self.plan["staging"]["directory"])
        self.source = source or str(self.directory)
        self.extra = dict(extra or {})
        self.dispatch = dispatch
        self.folder = dispatch / once.FOLDER

    def pending(self) -> list[Change]:
        """Return what is to be done; changes nothing."""
        changes = [
            Change(name, str(artefact.target), artefact.size)
            for name, artefact in self.artefacts().items()
            if not _is_present(artefact)
        ]
        for name, artefact in self._boot_files().items():
            if not _is_present(artefact):
                changes.append(Change(f"boot {name}", str(artefact.target), artefact.size))
        if self.uses_lifeboat and not self._is_stowed():
            changes.append(Change("lifeboat", str(self.directory / berth.DOCUMENT), self._lifeboat_bytes))
        if not self._is_entered():
            changes.append(Change("entry", str(self.dispatch / _CONFIG)))
        if not is_armed(self.dispatch):
            changes.append(Change("one-shot", str(self.folder / once.ONCE)))
        return changes

    def apply(self) -> list[Change]:
        """Do what is pending and return it; the one-shot is the last.

        Raises ``Fault``: ``boot.source_missing``, ``boot.source_damaged``, ``boot.no_space``,
        ``revive.evidence_damaged``, ``revive.piece_damaged``.
        """
        changes = self.pending()
        slots.check_mounted(self.dispatch)
        # Where stage two leaves why it went back; it makes no folder in a system that is not its own.
        run_directory = Path(self.plan["staging"]["run_directory"])
        for folder in (run_directory.parent, run_directory):
            make_private(folder)
        # The archive is sent, the rest may come from an address.
        for name, artefact in self.artefacts().items():
            if name != "archive" and not _is_present(artefact):
                fetch.fetch(self.runner, artefact, self.source)
            elif not _is_present(artefact):
                raise Fault(kinds.NO_ARCHIVE, folder=self.directory, run="")
        files = self.host_files()
        host = self._put_lifeboat(files) if self.uses_lifeboat else pack(files)
        with slots.writable(self.runner, self.dispatch):
            self._put(host)
        return changes

    def artefacts(self) -> dict[str, Artefact]:
        """Return what has to lie in the staging directory."""
        parts = {**self.plan["environment"], "archive": self.plan["payload"]}
        return {
            name: Artefact(part["file"], self.directory / Path(part["file"]).name, part["sha256"], part["size"])
            for name, part in parts.items()
        }

    @property
    def uses_lifeboat(self) -> bool:
        return bool(self.plan["lifeboat"]["used"])

    def _is_stowed(self) -> bool:
        found = berth.read_document(self.directory)
        return found is not None and (found.run_id, found.plan_digest) == (self.plan["run_id"], self.plan["digest"])

    @property
    def _lifeboat_bytes(self) -> int:
        return int(self.plan["lifeboat"]["needed_bytes"])

    def _put_lifeboat(self, files: Mapping[str, bytes]) -> bytes:
        """Give slot B up, and put the lifeboat into its place; return the host's part, which describes it."""
        layout = ResolvedLayout.from_document(self.plan["layout"])
        node = identity.find(self.runner, self.plan["disk"], new_disk_guid=layout.disk_guid)
        slot_b.give_up(self.runner, node, layout, self.plan["run_id"], self.dispatch)
        ground = berth.ground_of(self.runner, self.plan, self.directory.parent)
        artefacts = self.artefacts()
        sources = {name: artefacts[name].target for name in ("kernel", "initrd")}
        sources["payload"] = artefacts["archive"].target
        return StagedLifeboat(berth.Berth(self.plan, ground), self.directory, sources, files).put()

    def host_files(self) -> dict[str, bytes]:
        """Return the host's own part of the initramfs: plan, capture, proof, and the sectors of the old disk."""
        path = self.directory / evidence.ARCHIVE
        try:
            contents = saved.unpack(path.read_bytes(), path)
        except OSError as error:
            raise Fault(kinds.EVIDENCE_DAMAGED, file=path, problem=error.strerror) from error
        pieces = {
            f"{PIECES}/{number}.bin": cut(contents, piece) for number, piece in enumerate(self.plan["old"]["pieces"])
        }
        read_capture(self.directory / CAPTURE)
        capture = (self.directory / CAPTURE).read_bytes()
        text = json.dumps(self.plan, sort_keys=True, indent=1) + "\n"
        return {PLAN: text.encode("ascii"), CAPTURE: capture, **pieces, **self.extra}

    def _boot_files(self) -> dict[str, Artefact]:
        found = self.artefacts()
        names = {"kernel": once.KERNEL, "initrd": once.INITRD}
        return {
            part: Artefact(found[part].file, self.folder / name, found[part].sha256, found[part].size)
            for part, name in names.items()
        }

    def _put(self, host: bytes) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        # First, so that files of two plans are never started together.
        write_file(self.folder / once.ONCE, once.environment(""), 0o600)
        boot_files = self._boot_files()
        missing = sum(one.size for one in boot_files.values() if not _is_present(one))
        fetch.check_space(self.dispatch, missing + len(host))
        for part, artefact in boot_files.items():
            if not _is_present(artefact):
                fetch.link_or_copy(self.artefacts()[part].target, artefact)
        write_file(self.folder / once.HOST_CPIO, host, 0o600)
        config = self.dispatch / _CONFIG
        write_file(config, once.with_entry(config.read_text("utf-8"), self.plan).encode("utf-8"))
        settle(self.dispatch)
        write_file(self.folder / once.ONCE, once.environment(once.ARMED), 0o600)
        settle(self.dispatch)

    def _is_entered(self) -> bool:
        config = (self.dispatch / _CONFIG).read_text("utf-8")
        return config == once.with_entry(config, self.plan)


def cut(contents: Mapping[str, bytes], piece: Mapping[str, Any]) -> bytes:
    """Return the bytes of a piece of the plan from the evidence; raises ``revive.piece_damaged``."""
    content = contents.get(piece["file"], b"")[piece["skip"] : piece["skip"] + piece["length"]]
    if len(content) != piece["length"] or hashlib.sha256(content).hexdigest() != piece["sha256"]:
        raise Fault(kinds.PIECE_DAMAGED, piece=f"{piece['file']}, byte {piece['skip']}")
    return content


def is_armed(dispatch: Path = slots.DISPATCH) -> bool:
    """Tell whether the next start is the restore's."""
    path = dispatch / once.FOLDER / once.ONCE
    return path.is_file() and once.is_armed(path.read_bytes())


def disarm(
    runner: Runner, dispatch: Path = slots.DISPATCH, directory: Path = STAGE_DIRECTORY, *, dry: bool = False
) -> list[Change]:
    """Take a staging back and return what was done; a second call finds nothing."""
    changes = []
    folder, config = dispatch / once.FOLDER, dispatch / _CONFIG
    text = config.read_text("utf-8") if config.is_file() else ""
    if is_armed(dispatch):
        changes.append(Change("one-shot", str(folder / once.ONCE)))
    if text != once.without_entry(text):
        changes.append(Change("entry", str(config)))
    given_up = slot_b.is_given_up(dispatch)
    if given_up:
        changes.append(Change("slot", slot_b.SLOT))
    changes += [Change("folder", str(path)) for path in (folder, directory) if path.is_dir()]
    if dry or not changes:
        return changes
    with slots.writable(runner, dispatch):
        if folder.is_dir():
            write_file(folder / once.ONCE, once.environment(""), 0o600)
        if text != once.without_entry(text):
            write_file(config, once.without_entry(text).encode("utf-8"))
        fetch.shred(folder / once.HOST_CPIO)
        shutil.rmtree(folder, ignore_errors=True)
        settle(dispatch)
    release(runner, directory.parent, directory)
    fetch.shred(directory / CAPTURE)
    _empty(directory)
    # Before the folder goes, by which the playbook knows that there is something to take back.
    if given_up:
        slot_b.make(runner, dispatch)
    shutil.rmtree(directory, ignore_errors=True)
    sync_directory(directory.parent)
    return changes


def _empty(directory: Path) -> None:
    """Let the content go and the folder stay."""
    for path in directory.iterdir() if directory.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _is_present(artefact: Artefact) -> bool:
    path = artefact.target
    there = path.is_file() and path.stat().st_size == artefact.size
    return there and fetch.file_digest(path) == artefact.sha256
