# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an update has to know of the running host, read in one pass; nothing is written."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import shape
from ..boot import records, slot_entry, slot_state, slots
from ..boot.records import SlotRecord
from ..boot.slot_state import SlotState
from ..disk import sysfs
from ..faults import preflight as preflight_kinds
from ..faults import update as kinds
from ..faults.fault import Fault
from ..layout.diff import diff
from ..layout.model import ResolvedLayout
from ..probe.disk import read_layout
from ..probe.memory import read_memory
from ..probe.mounts import space
from ..run_folders import RUNS
from ..runner import CommandRunner, Runner
from ..verify.look import find_disk
from . import target as targets

_MAKERS = {"ext4": "mkfs.ext4", "xfs": "mkfs.xfs"}
_PACKERS = {"zstd": "zstd", "xz": "xz", "gzip": "gzip"}
_ALWAYS = ("tar", "wipefs", "blkid", "blockdev", "mount", "umount", "udevadm", "lvm", "cp", "rm")


@dataclass(frozen=True)
class Host:
    """``running`` and ``target`` are slots; ``installed`` is the bundle that runs, as ``{name, version, payload_sha256,
    layout, run_id}`` with empty texts where that is not known. ``differences`` are points in which the disk is not
    as the layout says, the root of the target left out: it is made anew. ``dispatch_free`` are bytes.
    """

    running: str
    run_id: str
    target: str
    state: SlotState
    records: Mapping[str, SlotRecord]
    installed: Mapping[str, str]
    layout: ResolvedLayout | None
    layout_problem: str
    kernel_arguments: tuple[str, ...]
    firmware: str
    differences: tuple[str, ...]
    users: tuple[str, ...]
    architecture: str
    memory_available: int
    dispatch_free: int
    missing: tuple[str, ...] = ()


def require_root() -> None:
    """Raise ``preflight.not_root`` before anything fails for want of rights."""
    if os.geteuid() != 0:
        raise Fault(preflight_kinds.NOT_ROOT)


def read(runner: Runner, dispatch: Path = slots.DISPATCH, root: Path = sysfs.ROOT, compression: str = "") -> Host:
    """Return the host; raises ``update.not_converted``, ``boot.not_mounted`` or ``boot.state_lost``.

    ``compression`` is that of the payload: whether the host can undo it.
    """
    now = slots.running(root / "proc/cmdline")
    if now["slot"] not in slot_state.SLOTS:
        found = (
            "it is in its recovery system" if now["mode"] == "recovery" else "its kernel was started by no dispatcher"
        )
        raise Fault(kinds.NOT_CONVERTED, found=found)
    slots.check_mounted(dispatch)
    state = slot_state.read(dispatch).state
    known = records.read_slots(dispatch)
    plan = _plan(root, now["run_id"])
    layout, problem = _layout(records.layout(dispatch) or plan.get("layout") or {})
    other = next(slot for slot in slot_state.SLOTS if slot != now["slot"])
    usable = layout is not None and other in layout.slots
    return Host(
        running=now["slot"],
        run_id=now["run_id"],
        target=other,
        state=state,
        records=known,
        installed=_installed(known.get(now["slot"]), plan, now["run_id"], layout),
        layout=layout,
        layout_problem=problem,
        kernel_arguments=_arguments(root, plan),
        firmware="uefi" if (root / "sys/firmware/efi").is_dir() else "bios",
        differences=tuple(_differences(runner, layout, other, root)) if layout and usable else (),
        users=tuple(targets.users(targets.of_layout(layout, other), root)) if layout and usable else (),
        architecture=os.uname().machine,
        memory_available=int(read_memory(root)["memory_available_bytes"]),
        dispatch_free=space(dispatch)[1],
        missing=tuple(_missing(_programs(layout, other, compression))),
    )


def _plan(root: Path, run_id: str) -> Mapping[str, Any]:
    """Return the plan of the run that made the running slot; empty where it is not there or not readable."""
    if not run_id or "/" in run_id:
        return {}
    try:
        document = shape.parse((root / RUNS / run_id / "plan.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) and document.get("run_id") == run_id else {}


def _layout(document: Mapping[str, Any]) -> tuple[ResolvedLayout | None, str]:
    if not document:
        return None, "there is neither layout.json nor a plan"
    try:
        return ResolvedLayout.from_document(document), ""
    except Fault as fault:
        return None, fault.what


def _installed(
    record: SlotRecord | None, plan: Mapping[str, Any], run_id: str, layout: ResolvedLayout | None
) -> dict[str, str]:
    """Return what runs: by its record, or by its plan on a host that was converted before there were records."""
    bundle, payload = plan.get("bundle") or {}, plan.get("payload") or {}
    of_plan = {
        "name": str(bundle.get("name") or ""),
        "version": str(bundle.get("version") or ""),
        "payload_sha256": str(payload.get("sha256") or ""),
    }
    if record is not None and record.run_id == run_id and record.kind == "bundle":
        of_plan = {name: getattr(record, name) or text for name, text in of_plan.items()}
    return {**of_plan, "run_id": run_id, "layout": layout.name if layout else ""}


def _arguments(root: Path, plan: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the host's own kernel arguments: as somebody may have changed them since, or else of the plan."""
    for line in sysfs.read(root, slot_entry.SETTINGS).splitlines():
        name, equals, value = line.partition("=")
        if equals and name.strip() == "DUALROOT_KERNEL_ARGUMENTS":
            try:
                return tuple(" ".join(shlex.split(value)).split())
            except ValueError:
                break
    return tuple(str(one) for one in plan.get("kernel_arguments") or ())


def _differences(runner: Runner, layout: ResolvedLayout, slot: str, root: Path) -> list[str]:
    node = find_disk(layout.disk_guid, root)
    if not node:
        return [f"no disk has the partition table {layout.disk_guid}"]
    made_anew = f".file_systems[{layout.slots[slot].root}]"
    found = diff(layout, read_layout(runner, node, root), "commit")
    return [str(one) for one in found if not one.path.startswith(made_anew)]


def _programs(layout: ResolvedLayout | None, slot: str, compression: str) -> Iterable[str]:
    yield from _ALWAYS
    if compression in _PACKERS:
        yield _PACKERS[compression]
    if layout is not None and slot in layout.slots:
        kind = layout.file_system(layout.slots[slot].root).kind
        if kind in _MAKERS:
            yield _MAKERS[kind]


def _missing(programs: Iterable[str]) -> list[str]:
    return [name for name in programs if shutil.which(name, path=CommandRunner.SEARCH_PATH) is None]
