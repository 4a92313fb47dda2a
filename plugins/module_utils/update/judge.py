# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""May this bundle be installed on this host? All findings at once, and the frozen plan of the update."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..boot import recovery_files
from ..boot.kernels import version_key
from ..faults import update as kinds
from ..faults.fault import Fault, FaultKind
from ..plan import document, parts
from ..plan.checks import carried
from ..plan.checks.room import slot_bytes
from ..plan.finding import Finding, from_record, in_order, summary, verdict
from ..plan.text import show_findings
from ..units import MIB, format_size
from .carry import Carried
from .host import Host
from .options import Options

#: What an update takes of memory whatever the payload's size (tests/benchmark), in bytes.
MEMORY_BYTES = 200 * MIB
#: What an update writes to the dispatch file system beside the recovery system's capture, in bytes: its plan, records,
#: the archive of the trial and the evidence, each beside what it replaces; and what ext4 keeps from everybody.
DISPATCH_BYTES = 4 * MIB
#: Seconds: making the file system, and the restart.
_FIXED_SECONDS = 60
#: Bytes per second that an ordinary host restores, and reads back.
_RATE = 40 * MIB


def judge(
    host: Host,
    manifest: Mapping[str, Any],
    options: Options,
    capture: Mapping[str, Any],
    capture_findings: Sequence[Finding],
    paths: Carried,
) -> dict[str, Any]:
    """Return ``{verdict, findings, refused, lines, plan, running, target}``.

    ``verdict`` is ``same`` where the running slot is good and holds this very payload: nothing is to be done.
    """
    findings = in_order(
        [*_findings(host, manifest, options, paths), *_dispatch(host, capture), *paths.findings, *capture_findings]
    )
    decided = verdict(findings)
    if is_installed(host, manifest) and host.state.state_of(host.running) == "good":
        decided = "same"
    plan = _plan(host, manifest, options, capture) if decided == "proceed" else None
    refused = summary(findings) if decided == "refuse" else None
    return {
        "verdict": decided,
        "findings": [one.to_document() for one in findings],
        "refused": refused.record() if refused else None,
        "lines": _lines(host, manifest, findings, decided),
        "plan": plan,
        "running": {"slot": host.running, "state": host.state.state_of(host.running), **_shown(host.installed)},
        "target": _target(host),
    }


def is_installed(host: Host, manifest: Mapping[str, Any]) -> bool:
    """Tell whether the running slot was filled with this very payload."""
    return host.installed["payload_sha256"] == str(manifest["payload"]["sha256"])


def _findings(host: Host, manifest: Mapping[str, Any], options: Options, paths: Carried) -> Iterator[Finding]:
    yield from _slots(host)
    yield from _disk(host)
    yield from _room(host, manifest, paths)
    yield from _bundle(host, manifest, options)
    if host.missing:
        yield find(kinds.PROGRAM_MISSING, programs=", ".join(host.missing))
    if host.memory_available < MEMORY_BYTES:
        yield find(kinds.MEMORY, free=format_size(host.memory_available), needed=format_size(MEMORY_BYTES))


def _slots(host: Host) -> Iterator[Finding]:
    state = host.state.state_of(host.running)
    if state != "good":
        yield find(kinds.NOT_GOOD, slot=host.running, state=state)
    kept = host.records.get(host.target)
    if kept is not None and kept.kind == "old":
        yield find(kinds.NOT_COMMITTED, problem=f"slot {host.target} still holds the old system")
    if host.users:
        yield find(kinds.TARGET_BUSY, slot=host.target, users="; ".join(host.users))


def _disk(host: Host) -> Iterator[Finding]:
    if host.layout is None:
        yield find(kinds.NO_LAYOUT, problem=host.layout_problem)
    elif host.target not in host.layout.slots:
        yield find(kinds.NO_LAYOUT, problem=f"its layout has no slot {host.target}")
    elif host.differences:
        shown = "; ".join(host.differences[:8]) + ("; …" if len(host.differences) > 8 else "")
        yield find(kinds.LAYOUT_DIFFERS, count=len(host.differences), differences=shown)


def _room(host: Host, manifest: Mapping[str, Any], paths: Carried) -> Iterator[Finding]:
    room = slot_bytes(host.layout.to_document(), host.target) if host.layout else None
    payload = int(manifest["payload"]["unpacked_bytes"])
    # Inodes, journal and reserved blocks of ext4 take about a tenth.
    needed = int((payload + paths.bytes) * 1.1)
    if room is not None and needed > room:
        yield find(
            kinds.TOO_SMALL,
            slot=host.target,
            room=format_size(room),
            needed=format_size(needed),
            payload=format_size(payload),
            carried=format_size(paths.bytes),
        )


def _dispatch(host: Host, capture: Mapping[str, Any]) -> Iterator[Finding]:
    needed = DISPATCH_BYTES + len(recovery_files.host_part({recovery_files.CAPTURE_NAME: capture}))
    if host.dispatch_free < needed:
        yield find(kinds.DISPATCH_FULL, free=format_size(host.dispatch_free), needed=format_size(needed))


def _bundle(host: Host, manifest: Mapping[str, Any], options: Options) -> Iterator[Finding]:
    name, version = str(manifest["name"]), str(manifest["version"])
    installed, before = host.installed["name"], host.installed["version"]
    if manifest["architecture"] != host.architecture:
        yield find(kinds.ARCHITECTURE, bundle=manifest["architecture"], found=host.architecture)
    if not options.signed_by:
        yield find(kinds.UNSIGNED)
    if installed and name != installed:
        yield find(kinds.OTHER_NAME, name=name, installed=installed)
    elif before and version_key(version) < version_key(before) and not options.allow_downgrade:
        yield find(kinds.DOWNGRADE, name=name, version=version, installed=before)
    elif before == version and not is_installed(host, manifest):
        yield find(kinds.SAME_VERSION, version=version)
    layout = host.installed["layout"]
    if options.bundle_layout and layout and options.bundle_layout != layout:
        yield find(kinds.OTHER_LAYOUT, found=layout, bundle=options.bundle_layout)


def of_capture(capture: Mapping[str, Any], noticed: Sequence[Mapping[str, str]], options: Options) -> list[Finding]:
    """Return what the readers of the capture noticed, and whether the account of the run can log in afterwards."""
    return [*(carried.reported(one) for one in noticed), *carried.login(options.login_user, capture)]


def find(kind: FaultKind, /, **particulars: Any) -> Finding:
    """Make a finding of an update; its severity is that of ``faults/update.py``."""
    severity = "warn" if kind in kinds.WARNINGS else "info" if kind in kinds.NOTES else "refuse"
    return from_record(Fault(kind, **particulars).record(), severity)


def _plan(host: Host, manifest: Mapping[str, Any], options: Options, capture: Mapping[str, Any]) -> dict[str, Any]:
    if host.layout is None:
        raise ValueError("a plan needs a layout")
    payload = manifest["payload"]
    seconds = _FIXED_SECONDS + 2 * int(payload["unpacked_bytes"]) // _RATE
    return document.freeze(
        {
            **parts.head("update", options, manifest, capture),
            "trial_limit": options.trial_limit,
            "payload": parts.payload(manifest),
            "layout": host.layout.to_document(),
            "slot": host.target,
            "from_slot": host.running,
            "from_run_id": host.run_id,
            "from_bundle": {name: host.installed[name] for name in ("name", "version")},
            "firmware": host.firmware,
            "renderer": payload["network_renderer"],
            "kernel_arguments": list(options.kernel_arguments or host.kernel_arguments),
            "lifeboat": {"used": False},
            "predicted": {"peak_ram_bytes": MEMORY_BYTES, "seconds": seconds},
        }
    )


def _shown(installed: Mapping[str, str]) -> dict[str, str]:
    return {
        "run_id": installed["run_id"],
        "bundle_name": installed["name"],
        "bundle_version": installed["version"],
        "payload_sha256": installed["payload_sha256"],
    }


def _target(host: Host) -> dict[str, Any]:
    record = host.records.get(host.target)
    return {
        "slot": host.target,
        "state": host.state.state_of(host.target),
        "name": record.name if record else "",
        "version": record.version if record else "",
        "run_id": record.run_id if record else "",
        "bytes": (slot_bytes(host.layout.to_document(), host.target) if host.layout else None) or 0,
    }


def _lines(host: Host, manifest: Mapping[str, Any], findings: Sequence[Finding], decided: str) -> list[str]:
    target = _target(host)
    held = f"{target['name']} {target['version']}".strip() or "nothing known"
    return [
        f"slot {host.running} runs {host.installed['name']} {host.installed['version']}".rstrip(),
        f"slot {host.target} ({target['state']}, {held}) gets {manifest['name']} {manifest['version']}",
        *show_findings([one.to_document() for one in findings]),
        f"verdict: {decided}",
    ]
