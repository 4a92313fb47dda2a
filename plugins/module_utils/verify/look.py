# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading the new system for its verification: everything in one pass, nothing is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..capture import compare as captures
from ..capture import document as capture_document
from ..disk import read as tables
from ..disk import sysfs
from ..faults.fault import Fault
from ..layout.diff import diff
from ..layout.model import ResolvedLayout
from ..probe.disk import read_layout
from ..run_folders import RUNS
from ..runner import Runner
from .seen import CommandResult, Seen, dualroot_arguments

#: Of stage two's log the end is what matters; in bytes.
LOG_BYTES = 262144
#: A health command that hangs is unhealthy; in seconds.
COMMAND_TIMEOUT = 300.0


def look(
    runner: Runner,
    plan: Mapping[str, Any],
    upto: str,
    commands: Sequence[str],
    root: Path = Path("/"),
    configuration: bool = True,
) -> Seen:
    """Return what the system under ``root`` shows; ``upto`` is the moment that its layout has reached.

    Without ``configuration`` the capture is not compared: of a slot that ran since, it is not the wish any more.
    """
    resolved = ResolvedLayout.from_document(plan["layout"])
    disk = find_disk(resolved.disk_guid, root)
    differences: list[str] = []
    if disk:
        observed = read_layout(runner, disk)
        differences = [str(one) for one in diff(resolved, observed, upto, slot=plan["slot"])]
    folder = root / RUNS / plan["run_id"]
    record, problem = _read_json(folder / "result.json")
    return Seen(
        arguments=dualroot_arguments((root / "proc/cmdline").read_text("utf-8", "replace")),
        disk=disk,
        layout_differences=differences,
        configuration_differences=_configuration(runner, plan, folder, root) if configuration else [],
        commands=[_run(runner, command) for command in commands],
        record=record,
        record_problem=problem,
        extra={
            "journal": _read_lines(folder / "journal.jsonl"),
            "log": _read_end(folder / "stage-two.log"),
            "capture": _read_json(folder / "capture-redacted.json")[0],
        },
    )


def find_disk(disk_guid: str, root: Path = Path("/")) -> str:
    """Return the node of the disk whose GPT has this GUID, or nothing."""
    for name in sysfs.disks(root):
        node = sysfs.node_of(name)
        try:
            table = tables.read_disk(node, root)
        except Fault:
            continue
        if table.kind == "gpt" and table.table_id.lower() == disk_guid.lower():
            return node
    return ""


def _configuration(runner: Runner, plan: Mapping[str, Any], folder: Path, root: Path) -> list[str]:
    wanted, problem = _read_json(folder / "capture-redacted.json")
    if wanted is None:
        return [f"capture-redacted.json: {problem}"]
    found = capture_document.read(root, runner, {"login_user": plan["login_user"]})
    return [f"{one['path']}: wanted {one['wanted']}, found {one['found']}" for one in captures.compare(wanted, found)]


def _run(runner: Runner, command: str) -> CommandResult:
    """Run an operator's command, which is shell text by its nature."""
    try:
        done = runner.run(["/bin/sh", "-c", command], accept=range(-255, 256), timeout=COMMAND_TIMEOUT)
    except Fault as fault:
        return CommandResult(command, 124, fault.what)
    return CommandResult(command, done.returncode, done.error_text or done.text)


def _read_json(path: Path) -> tuple[dict[str, Any] | None, str]:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        return None, f"{path}: {error.strerror}"
    except ValueError:
        return None, f"{path} is not JSON"
    return (document, "") if isinstance(document, dict) else (None, f"{path} is not an object")


def _read_end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _read_lines(path: Path) -> list[dict[str, Any]]:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
