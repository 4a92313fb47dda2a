# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Phase configure: the new system becomes this host."""

from __future__ import annotations

import json
from pathlib import Path

from ..archive.durable import write_file
from ..boot import fact, first_start, health, root_overlay
from ..run_folders import RUNS
from . import fstab
from .work import Work


def run(work: Work) -> None:
    new = work.machine.places.new
    work.step("capture", lambda: _apply(work))
    work.step("fstab", lambda: fstab.write(new, work.resolved, work.plan["slot"]))
    work.step("root", lambda: root_overlay.write(new, work.plan))
    work.step("crypttab", lambda: _clear_crypttab(new))
    work.step("trial", lambda: _health(work))
    work.step("facts", lambda: _facts(work))
    work.step("evidence", lambda: _evidence(work))


def _apply(work: Work) -> None:
    runner, new = work.machine.runner, work.machine.places.new
    work.parts.configure(runner, new, work.capture, work.plan["renderer"])
    first_start.settle(new)


def _health(work: Work) -> None:
    wanted = work.plan.get("health") or {}
    commands, decisive = wanted.get("commands", ()), wanted.get("decisive", True)
    health.write(work.machine.places.new, work.dispatch, work.plan, work.capture, commands, decisive)


def _clear_crypttab(new: Path) -> None:
    """The layout has no encrypted volumes; a line for one would make the new system wait for it."""
    path = new / "etc/crypttab"
    if path.is_file() and not path.is_symlink():
        write_file(path, b"", 0o600)


def _facts(work: Work) -> None:
    """Tell Ansible, and anyone who asks, which slot this is and where it came from."""
    fact.write(work.machine.places.new, fact.document(fact.base(work.plan), work.dispatch))


def _evidence(work: Work) -> None:
    folder = run_folder(work)
    write_file(folder / "plan.json", _json(work.plan), 0o600)
    write_file(folder / "capture-redacted.json", _json(work.parts.redact(work.capture)), 0o600)


def run_folder(work: Work) -> Path:
    """Return the folder of this run in the new system, made for root alone."""
    folder = work.machine.places.new / RUNS / str(work.plan["run_id"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o700)
    return folder


def _json(document: object) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"
