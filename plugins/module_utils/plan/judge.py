# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that preflight says about one host: all findings, the verdict, the plan, the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..boot.grub_bios import bios_partition
from ..faults import preflight as kinds
from ..faults.fault import Fault
from ..layout.model import ResolvedLayout
from .build import assemble, laid_out
from .checks import carried, disk, drivers, firmware, keep_old, lifeboat, loader, machine, neighbours, room
from .context import Context
from .finding import Finding, from_record, in_order, verdict
from .options import load as load_options
from .picture import after, before
from .predict import predict
from .text import show_berth, show_picture

#: The groups of checks, in the order in which their findings are shown.
CHECKS = (machine, firmware, disk, neighbours, room, lifeboat, keep_old, loader, drivers, carried)


def judge(
    facts: Mapping[str, Any],
    manifest: Mapping[str, Any],
    layout_document: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    capture: Mapping[str, Any] | None = None,
    capture_problems: Sequence[Mapping[str, str]] = (),
    modaliases: Sequence[str] = (),
    bad_addresses: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Return ``{verdict, findings, plan, picture, predicted}``; ``plan`` is ``None`` on a refusal.

    Raises ``Fault`` ``plan.options_invalid`` only for options that are not usable at all.
    """
    chosen = load_options(options)
    context = Context(
        facts=facts,
        manifest=manifest,
        options=chosen,
        prediction=predict(facts, manifest, chosen.rehearsal),
        capture=capture,
        capture_problems=capture_problems,
        modaliases=modaliases,
        bad_addresses=bad_addresses,
    )
    context, layout_findings = with_layout(context, layout_document)
    findings = in_order([*findings_of(context), *layout_findings])
    decided = verdict(findings)
    plan = None
    if decided == "proceed" and context.layout is not None:
        plan = assemble(context)
    return {
        "verdict": decided,
        "findings": [finding.to_document() for finding in findings],
        "plan": plan,
        "picture": _picture(context),
        "predicted": context.prediction.to_document(),
    }


def findings_of(context: Context) -> list[Finding]:
    """Return what every check has to say, never only the first."""
    return [finding for group in CHECKS for finding in group.check(context)]


def with_layout(context: Context, layout_document: Mapping[str, Any]) -> tuple[Context, list[Finding]]:
    """Return the context with its resolved layout, or the findings that say why there is none."""
    try:
        found = laid_out(context, layout_document)
        if context.facts.get("firmware") == "bios":
            bios_partition(ResolvedLayout.from_document(found.layout))
        return found, []
    except Fault as fault:
        if fault.kind is kinds.DISK_DOUBT:
            return context, []  # the checks of the disk say it, and better
        return context, [from_record({**fault.record(), "phase": "preflight"})]


def _picture(context: Context) -> dict[str, Any]:
    chosen = context.system_disk
    pictures = {
        "before": before(chosen) if chosen else None,
        "after": _after(context, str(chosen["name"])) if chosen and context.layout else None,
    }
    shown = [show_picture(title, picture) for title, picture in pictures.items() if picture]
    if context.berth is not None and context.berth.wish != "none":
        shown.append(show_berth(context.berth))
    return {**pictures, "text": "\n".join(shown)}


def _after(context: Context, name: str) -> dict[str, Any]:
    berth = context.berth
    ranges = berth.allowed if berth is not None and berth.used else ()
    return after(context.layout or {}, name, [(one.start, one.length) for one in ranges])
