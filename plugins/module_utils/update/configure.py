# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The restored system becomes this host: what ``configure`` and ``boot`` of stage two do, for the target slot alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..archive import marker
from ..archive.durable import write_file
from ..boot import fact, first_start, health, recovery_files, root_overlay, slot_entry
from ..capture import configure as captures
from ..capture.redact import redact
from ..layout.model import ResolvedLayout
from ..run_folders import RUNS
from ..runner import Runner
from ..stage_two import fstab
from . import carry


def apply(
    runner: Runner,
    new: Path,
    plan: Mapping[str, Any],
    capture: Mapping[str, Any],
    carry_paths: Sequence[str],
    result: Mapping[str, Any],
    root: Path = Path("/"),
) -> None:
    """Write everything into the new root at ``new`` that makes it a slot of this host, short of its health checks.

    ``root`` is the running system, from which ``carry_paths`` come. Raises faults of the areas capture and boot,
    and ``update.carry_failed``.
    """
    layout, slot = ResolvedLayout.from_document(plan["layout"]), str(plan["slot"])
    captures.apply(new, capture, renderer=str(plan["renderer"]), runner=runner)
    carry.copy(runner, carry_paths, new, root)
    _mount_points(new, layout, slot)
    fstab.write(new, layout, slot, "commit")
    _clear_crypttab(new)
    slot_entry.write(new, str(plan["run_id"]), tuple(plan["kernel_arguments"]))
    root_overlay.write(new, plan)
    _evidence(new, plan, capture, result)
    marker.remove(new)


def on_dispatch(
    new: Path,
    dispatch: Path,
    plan: Mapping[str, Any],
    capture: Mapping[str, Any],
    commands: Sequence[str],
    decisive: bool,
    result: Mapping[str, Any],
) -> None:
    """Write what lies in the new root and on the dispatch file system, which is mounted writable."""
    health.write(new, dispatch, plan, capture, commands, decisive)
    fact.write(new, fact.document(fact.base(plan), dispatch))
    first_start.settle(new)
    folder = dispatch / "runs" / str(plan["run_id"])
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / "result.json", _json(result))
    # Of the system that runs, so right whatever becomes of the new slot. Last: what GRUB reads, which replays no
    # journal, is settled by the remount that follows.
    recovery_files.renew(dispatch, plan, capture)


def _mount_points(new: Path, layout: ResolvedLayout, slot: str) -> None:
    """Make the folders that the shared file systems are mounted on; a payload need not have them."""
    for system in layout.slot_file_systems(slot, "commit"):
        if system.kind != "swap" and system.mount != "/":
            (new / system.mount.lstrip("/")).mkdir(mode=0o755, parents=True, exist_ok=True)


def _clear_crypttab(new: Path) -> None:
    """The layout has no encrypted volumes; a line for one would make the new system wait for it."""
    path = new / "etc/crypttab"
    if path.is_file() and not path.is_symlink():
        write_file(path, b"", 0o600)


def _evidence(new: Path, plan: Mapping[str, Any], capture: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    folder = new / RUNS / str(plan["run_id"])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o700)
    write_file(folder / "plan.json", _json(plan), 0o600)
    write_file(folder / "capture-redacted.json", _json(redact(capture)), 0o600)
    write_file(folder / "result.json", _json(result), 0o600)


def _json(document: object) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode() + b"\n"
