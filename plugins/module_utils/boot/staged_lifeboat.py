# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lifeboat among the things that are staged; where its bytes lie is the business of ``lifeboat``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..archive.durable import sync_directory
from ..faults.fault import Fault
from ..lifeboat import berth, claim, model, stow
from ..lifeboat.model import Lifeboat
from ..runner import Runner
from . import cpio

#: Where stage two looks for what the host's own part of the initramfs brings.
FOLDER = "etc/dualroot"


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the host's own part of the initramfs."""
    return cpio.pack({f"{FOLDER}/{name}": content for name, content in files.items()})


def release(runner: Runner, state_directory: Path, stage_directory: Path) -> None:
    """Overwrite the host's part of a lifeboat, and give all of its room back; it needs no plan.

    Where the description is missing, nothing was filled in yet.
    """
    former = berth.read_document(stage_directory)
    if former is not None:
        ground = berth.ground_left(runner, former, state_directory)
        if ground is not None:
            stow.shred(ground, former)
        (stage_directory / berth.DOCUMENT).unlink()
        sync_directory(stage_directory)
    claim.release(state_directory / claim.FILE.name)


class StagedLifeboat:
    """``sources`` are the staged kernel, initrd and payload, ``files`` what the host's part has beside it."""

    def __init__(
        self, place: berth.Berth, directory: Path, sources: Mapping[str, Path], files: Mapping[str, bytes]
    ) -> None:
        self._berth = place
        self._directory = directory
        self._sources = sources
        self._files = files

    @property
    def path(self) -> Path:
        return self._berth.ground.file

    def look(self) -> tuple[Lifeboat, bytes] | None:
        """Return the lifeboat in the room that is claimed, and the host's part; None where there is too little."""
        size = self._berth.host_bytes(len(pack(self._files)))
        try:
            while True:
                lifeboat = self._berth.place(size)
                host = pack({**self._files, berth.DOCUMENT: berth.dump(lifeboat)})
                if len(host) <= size:
                    return lifeboat, host
                size = self._berth.host_bytes(size)
        except Fault as fault:
            if fault.id != "lifeboat.no_room":
                raise
            return None

    def wrong(self, lifeboat: Lifeboat, host: bytes) -> list[str]:
        """Return the parts that the disk does not have, and ``lifeboat.json`` where it is not this one."""
        parts = stow.wrong(self._berth.ground, lifeboat, self._contents(host))
        return parts if berth.read_document(self._directory) == lifeboat else [*parts, berth.DOCUMENT]

    def needs_payload(self, lifeboat: Lifeboat) -> bool:
        """Tell whether the staged payload must stay: some of it waits for stage two to be copied into swap."""
        return self._berth.ground.waits(lifeboat.part("payload"))

    def count_bytes(self, lifeboat: Lifeboat | None, names: list[str]) -> int:
        """Return how many bytes are to be written for ``names``; all of them without a lifeboat."""
        if lifeboat is None:
            return int(self._berth.plan["lifeboat"]["needed_bytes"])
        return sum(lifeboat.part(name).size for name in names if name in model.PARTS)

    def room_bytes(self, lifeboat: Lifeboat | None) -> int:
        """Return how many bytes the file system must still give; none for a lifeboat that has its places."""
        return self._berth.missing_bytes() if lifeboat is None else 0

    def put(self) -> bytes:
        """Claim the room, describe it, fill it and prove it; return the host's part of the initramfs.

        What an earlier run left of its host part is overwritten before its place can be given away.
        """
        former = berth.read_document(self._directory)
        if former is not None:
            stow.shred(self._berth.ground, former)
        size = self._berth.host_bytes(len(pack(self._files)))
        while True:
            self._berth.claim(size)
            found = self.look()
            if found is not None:
                break
            # The description of many pieces made the host's part longer than was thought.
            size = self._berth.host_bytes(size)
            if size > model.HOST_BYTES:
                self._berth.place(size)
        lifeboat, host = found
        berth.write_document(self._directory, lifeboat)
        contents = self._contents(host)
        # Blocks that were just claimed have nothing that would be worth reading.
        names = stow.CONTENTS if former is None and contents["payload"].is_there() else None
        stow.put(self._berth.ground, lifeboat, contents, names)
        return host

    def _contents(self, host: bytes) -> dict[str, stow.Content]:
        return {"host": stow.Content(host), **{name: stow.Content(path) for name, path in self._sources.items()}}
