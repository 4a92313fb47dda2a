# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May the old system of this host be brought back? All findings at once, and the frozen plan of the restore."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..boot.fetch import spare_bytes
from ..disk.marks import normal_serial, normal_wwn
from ..faults import revive as kinds
from ..faults.fault import Fault, FaultKind
from ..layout.model import ResolvedLayout
from ..plan import document, parts
from ..plan.context import STATE_DIRECTORY
from ..plan.finding import Finding, from_record, in_order, summary, verdict
from ..plan.predict import MARGIN_BYTES, WORKING_BYTES, staged_boot_bytes
from ..plan.text import show_findings
from ..units import MIB, format_size
from . import old_disk
from .berth import Berth
from .berth import find as find_berth
from .old_disk import OldDisk
from .options import Options
from .saved import Saved

#: Beside archive and environment: the evidence, and what the host's own part takes.
_SMALL_BYTES = 8 * MIB
#: Seconds of a restore that have nothing to do with sizes, and bytes of the archive per second beyond them.
_FIXED_SECONDS = 120
_RATE = 8 * MIB


@dataclass(frozen=True)
class Present:
    """The host as it runs now: its facts, its redacted capture, and what ``where`` says of its slot.

    ``plan`` is that of the run which made the slot, ``slot_state`` as in the slot state.
    """

    facts: Mapping[str, Any]
    capture: Mapping[str, Any]
    plan: Mapping[str, Any]
    slot: str
    slot_state: str
    run_id: str

    @property
    def disk(self) -> Mapping[str, Any]:
        """The disk under ``/``; empty where it is in doubt."""
        name = self.facts.get("system_disk")
        return next((one for one in self.facts.get("disks") or [] if one["name"] == name), {})

    @property
    def root(self) -> Mapping[str, Any]:
        return self.facts.get("root") or {}


def judge(
    present: Present, saved: Saved, manifest: Mapping[str, Any], options: Options, unpacked_bytes: int = 0
) -> dict[str, Any]:
    """Return ``{verdict, findings, refused, lines, plan}``; the plan only where nothing refuses.

    ``unpacked_bytes`` is what the archive unpacks to; a lifeboat is found no room for where that is 0.
    """
    old = old_disk.read(saved.disk, saved.contents)
    berth = _berth(present, saved, old, manifest, options, unpacked_bytes)
    findings = in_order(_findings(present, saved, old, manifest, options, berth))
    decided = verdict(findings)
    refused = summary(findings)
    return {
        "verdict": decided,
        "findings": [one.to_document() for one in findings],
        "refused": refused.record() if refused else None,
        "lines": _lines(saved, old, findings, decided),
        "plan": _plan(present, saved, old, manifest, options, berth, unpacked_bytes) if decided == "proceed" else None,
    }


def _berth(
    present: Present, saved: Saved, old: OldDisk, manifest: Mapping[str, Any], options: Options, unpacked_bytes: int
) -> Berth:
    if options.lifeboat == "none":
        return Berth()
    try:
        layout = ResolvedLayout.from_document(present.plan.get("layout") or {})
    except Fault:
        return Berth(doubt="the host does not know its layout")
    files = {"environment": manifest["environment"], "payload": {"size": saved.size}}
    return find_berth(layout, old, files, unpacked_bytes)


def _findings(
    present: Present, saved: Saved, old: OldDisk, manifest: Mapping[str, Any], options: Options, berth: Berth
) -> Iterator[Finding]:
    yield from _slot(present)
    yield from _disk(present, saved)
    for problem in old.problems:
        yield find(problem.kind, **problem.particulars)
    yield from _archive(saved)
    yield from _room(present, saved, manifest, bool(berth.length))
    yield from _lifeboat(options.lifeboat, berth)
    if not options.signed_by:
        yield find(kinds.UNSIGNED)
    mounts = sorted(set(_mounts(present.disk)) | {"/"})
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(saved.made))
    yield find(kinds.EVERYTHING_GOES, mounts=", ".join(mounts), when=made)


def _lifeboat(wish: str, berth: Berth) -> Iterator[Finding]:
    if wish == "none":
        yield find(kinds.NO_LIFEBOAT)
    elif berth.length:
        yield find(kinds.SLOT_B_GOES, size=format_size(berth.length))
    else:
        yield find(kinds.LIFEBOAT if wish == "required" else kinds.LIFEBOAT_LEFT_OUT, problem=berth.doubt)


def _slot(present: Present) -> Iterator[Finding]:
    if present.facts.get("firmware") != "bios":
        yield find(kinds.FIRMWARE)
    if present.slot != "a" or present.slot_state != "good":
        yield find(kinds.SLOT, slot=present.slot, state=present.slot_state or "in an unknown state")
    try:
        ResolvedLayout.from_document(present.plan.get("layout") or {})
    except Fault as fault:
        yield find(kinds.NO_LAYOUT, problem=fault.what)


def _disk(present: Present, saved: Saved) -> Iterator[Finding]:
    differences = _differences(present.disk, saved.disk)
    if differences:
        yield find(kinds.OTHER_DISK, differences="; ".join(differences))
    name = present.disk.get("name")
    for group in present.facts.get("volume_groups") or []:
        if name in group["disks"] and len(group["disks"]) > 1:
            yield find(kinds.OTHER_GROUP, group=group["name"], disks=", ".join(group["disks"]))


def _differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Compare the marks that a disk keeps whatever is written on it; an unknown one says nothing."""
    if not now:
        return ["the disk under / is in doubt"]
    found = []
    if now["size_bytes"] != then.get("size_bytes"):
        found.append(f"it has {now['size_bytes']} bytes instead of {then.get('size_bytes')}")
    for name, normal in (("serial", normal_serial), ("wwn", normal_wwn)):
        is_now, was = normal(str(now.get(name) or "")), normal(str(then.get(name) or ""))
        if is_now and was and is_now != was:
            found.append(f"its {name} is {now[name]} instead of {then[name]}")
    if not any(str(now.get(name) or "") for name in ("serial", "wwn")) and now["name"] != then.get("name"):
        found.append(f"it is {now['name']} instead of {then.get('name')}, and has neither serial number nor WWN")
    return found


def _archive(saved: Saved) -> Iterator[Finding]:
    if not saved.recorded:
        yield find(kinds.UNPROVEN, file=saved.archive)
    elif saved.recorded != saved.sha256:
        yield find(kinds.ARCHIVE_DAMAGED, file=saved.archive, found=saved.sha256, wanted=saved.recorded)


def _room(present: Present, saved: Saved, manifest: Mapping[str, Any], lifeboat: bool) -> Iterator[Finding]:
    needed = (
        saved.size + staged_boot_bytes(manifest) + _SMALL_BYTES + spare_bytes(int(present.root.get("size_bytes") or 0))
    )
    free = int(present.root.get("free_bytes") or 0)
    if needed > free:
        yield find(kinds.ROOM, needed=format_size(needed), directory=STATE_DIRECTORY, free=format_size(free))
    memory = peak_bytes(saved, manifest, lifeboat) + MARGIN_BYTES
    total = int(present.facts.get("memory_bytes") or 0)
    if memory > total:
        yield find(kinds.MEMORY, needed=format_size(memory), free=format_size(total))


def peak_bytes(saved: Saved, manifest: Mapping[str, Any], lifeboat: bool) -> int:
    """Return what stage two uses of memory: its own system, and the packed archive unless a lifeboat has it."""
    own = int(manifest["environment"]["unpacked_bytes"]) + WORKING_BYTES
    return own if lifeboat else own + saved.size


def _mounts(disk: Mapping[str, Any]) -> Iterator[str]:
    for part in disk.get("partitions") or []:
        yield from (one for one in part.get("mounts") or [] if one.startswith("/"))


def find(kind: FaultKind, /, **particulars: Any) -> Finding:
    """Make a finding of a restore; its severity is that of ``faults/revive.py``."""
    return from_record(Fault(kind, **particulars).record(), "warn" if kind in kinds.WARNINGS else "refuse")


def _plan(
    present: Present,
    saved: Saved,
    old: OldDisk,
    manifest: Mapping[str, Any],
    options: Options,
    berth: Berth,
    unpacked_bytes: int,
) -> dict[str, Any]:
    return document.freeze(
        {
            **parts.head("restore", options, manifest, present.capture),
            "attended": options.attended,
            "go_timeout": options.go_timeout,
            "payload": {
                "file": saved.archive.name,
                "sha256": saved.sha256,
                "size": saved.size,
                "compression": saved.compression,
                # Not counted where it goes back onto a file system of the size that it came from.
                "unpacked_bytes": unpacked_bytes,
            },
            "environment": parts.environment(manifest),
            "disk": parts.identity(present.disk, present.root.get("uuid") or ""),
            "staging": parts.staging(present.root, options.run_id),
            "layout": dict(present.plan["layout"]),
            "slot": present.slot,
            "from_run_id": present.run_id,
            "firmware": present.facts["firmware"],
            "kernel_arguments": list(options.kernel_arguments or present.plan.get("kernel_arguments") or ()),
            "lifeboat": berth.to_plan(options.lifeboat),
            "predicted": {
                "peak_ram_bytes": peak_bytes(saved, manifest, bool(berth.length)),
                "downtime_seconds": _FIXED_SECONDS + saved.size // _RATE,
            },
            "old": {"run_id": saved.run_id, **old.to_plan(berth.blocks)},
        }
    )


def _lines(saved: Saved, old: OldDisk, findings: Sequence[Finding], decided: str) -> list[str]:
    made = old.made
    root = f"root {made.uuid} ({format_size(old.root_bytes)})" if made else "a root that cannot be made again"
    return [
        f"archive of run {saved.run_id}: {saved.archive.name}, {format_size(saved.size)}",
        f"the old disk: table {saved.disk.get('table')} {saved.disk.get('table_id')}, {root}",
        *show_findings([one.to_document() for one in findings]),
        f"verdict: {decided}",
    ]
