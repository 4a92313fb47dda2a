# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Controller side: send big files to a host as root, by digest, resumed where they broke off.

Each piece goes through the standard input of ``cat``: that needs neither Python nor an SFTP server on
the host, writes straight to where the file belongs (no second copy in the login user's home), and
leaves a part whose size tells where to go on. ``ansible.builtin.copy`` was rejected: it stages the
whole file in a temporary folder, hashes it with SHA-1 on both sides and cannot go on after a break.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..module_utils.faults import flow as kinds
from ..module_utils.faults.fault import Fault
from ..module_utils.units import MIB, format_size

#: Held in the controller's memory once per host.
PIECE = 16 * MIB

#: Runs shell text as root: ``(text, standard input or None) -> {"rc", "stdout", "stderr"}``.
Shell = Callable[[str, "bytes | None"], Mapping[str, Any]]


@dataclass(frozen=True)
class Sending:
    """A file on the controller and where it goes; ``sha256`` and ``size`` are the manifest's."""

    source: str
    target: str
    sha256: str
    size: int
    mode: str = "0600"

    @property
    def part(self) -> str:
        # The digest in the name: a part of another file is never continued.
        return f"{self.target}.{self.sha256[:16]}.part"


def _check(sha256: str, path: str) -> str:
    return f"echo {shlex.quote(f'{sha256}  {path}')} | sha256sum -c >/dev/null 2>&1"


def _survey_text(sendings: Sequence[Sending]) -> str:
    """Ask about all files in one round trip; one line each: index, state, size of the part."""
    lines = ["umask 077"]
    for index, sending in enumerate(sendings):
        target, part = shlex.quote(sending.target), shlex.quote(sending.part)
        lines.append(
            f"mkdir -p {shlex.quote(os.path.dirname(sending.target))} && "
            f"if [ -f {target} ] && {_check(sending.sha256, sending.target)}; "
            f"then echo DUALROOT {index} whole; "
            f"else echo DUALROOT {index} part $(wc -c <{part} 2>/dev/null || echo 0); fi"
        )
    return "\n".join(lines)


def survey(shell: Shell, sendings: Sequence[Sending]) -> dict[int, int | None]:
    """Return for each file the bytes that are there already, or None where it is whole."""
    done = shell(_survey_text(sendings), None)
    found: dict[int, int | None] = {}
    for line in done["stdout"].splitlines():
        words = line.split()
        if words[:1] == ["DUALROOT"] and len(words) >= 3:
            found[int(words[1])] = None if words[2] == "whole" else int(words[3])
    if len(found) != len(sendings):
        detail = (done["stderr"] or done["stdout"]).strip()[-300:] or f"status {done['rc']}"
        raise Fault(kinds.TRANSFER_FAILED, file=sendings[len(found)].target, detail=detail)
    return found


def check_room(shell: Shell, sendings: Sequence[Sending], missing: Mapping[int, int | None], reserve: int) -> None:
    """Raise ``stage.transfer_failed`` where what is missing does not fit, ``reserve`` bytes to spare.

    A host that cannot tell is believed: a full file system is a fault later.
    """
    needed: dict[str, int] = {}
    for index, present in missing.items():
        if present is not None:
            folder = os.path.dirname(sendings[index].target)
            needed[folder] = needed.get(folder, 0) + max(0, sendings[index].size - present)
    for folder, count in needed.items():
        done = shell(f"df -Pk {shlex.quote(folder)}", None)
        # POSIX df -P: one line each; the fourth word is what is free, in KiB.
        words = (done["stdout"].strip().splitlines() or [""])[-1].split()
        if len(words) < 6 or not words[3].isdigit():
            continue
        free = int(words[3]) * 1024
        if count + reserve > free:
            detail = f"{format_size(free)} are free in {folder}, and {format_size(count + reserve)} are needed"
            raise Fault(kinds.TRANSFER_FAILED, file=folder, detail=detail)


def send(shell: Shell, sending: Sending, present: int, show: Callable[[str], None]) -> None:
    """Send the rest of one file, check it and put it in its place."""
    part = shlex.quote(sending.part)
    name = os.path.basename(sending.target)
    if present > sending.size:
        present = 0
    opened = ">" if present == 0 else ">>"
    sent, told = present, present * 4 // max(1, sending.size)
    with open(sending.source, "rb") as source:
        source.seek(present)
        while True:
            piece = source.read(PIECE)
            if not piece and opened == ">>":
                break
            # Without data the connection plugin opens a terminal, on which cat would wait for ever.
            done = shell(f"umask 077; {'cat' if piece else ':'} {opened}{part}", piece or None)
            if done["rc"] != 0:
                raise Fault(kinds.TRANSFER_FAILED, file=sending.target, detail=done["stderr"].strip()[-300:])
            opened = ">>"
            sent += len(piece)
            if sent * 4 // max(1, sending.size) > told and sending.size > PIECE:
                told = sent * 4 // sending.size
                show(f"sent {format_size(sent)} of {format_size(sending.size)} of {name}")
            if len(piece) < PIECE:
                break
    _settle(shell, sending)


def _settle(shell: Shell, sending: Sending) -> None:
    part, target = shlex.quote(sending.part), shlex.quote(sending.target)
    done = shell(
        f"if {_check(sending.sha256, sending.part)}; "
        f"then chmod {sending.mode} {part} && mv -f {part} {target} && echo DUALROOT-WHOLE; "
        f"else rm -f {part}; echo DUALROOT-DIFFERS; fi",
        None,
    )
    if "DUALROOT-WHOLE" not in done["stdout"]:
        differs = "DUALROOT-DIFFERS" in done["stdout"]
        said = done["stderr"].strip()[-300:] or f"status {done['rc']}"
        detail = "its SHA-256 is not the manifest's; the part was removed" if differs else said
        raise Fault(kinds.TRANSFER_FAILED, file=sending.target, detail=detail)
