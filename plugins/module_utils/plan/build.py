# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Facts, manifest and layout become one plan, resolved to bytes, with a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..faults import layout as layout_kinds
from ..faults.fault import Fault
from ..units import format_size
from . import document, keep_old, parts
from .checks.room import staged_on_root
from .context import Context
from .layouts import kept_by, resolve_for
from .lifeboat import find_berth
from .options import Options
from .options import load as load_options
from .predict import predict


def build(
    facts: Mapping[str, Any],
    manifest: Mapping[str, Any],
    layout_document: Mapping[str, Any],
    options: Mapping[str, Any] | Options,
) -> dict[str, Any]:
    """Return the frozen plan of one host; raises ``Fault`` (``layout.*``, ``plan.options_invalid``).

    It decides nothing about whether the host may be converted: that is what the findings say.
    """
    chosen = options if isinstance(options, Options) else load_options(options)
    context = Context(facts, manifest, chosen, predict(facts, manifest, chosen.rehearsal))
    return assemble(laid_out(context, layout_document))


def laid_out(context: Context, layout_document: Mapping[str, Any]) -> Context:
    """Return a context with its layout resolved and its lifeboat placed, around the old root where that is kept.

    Raises ``Fault`` as ``resolve_for``. Why an old system that was to be kept is not is told by ``old_not_kept``.
    """
    reasons = tuple(keep_old.doubts(context)) if context.options.keep_old != "none" else ("",)
    if not reasons:
        try:
            kept = with_berth(
                replace(context, layout=resolve_for(context, layout_document, keep_old.old_root(context)))
            )
            if kept.berth is None or kept.berth.used or context.options.lifeboat == "none":
                return kept
            missing = format_size(kept.berth.missing_bytes)
            reasons = (f"the lifeboat finds no room beside it, {missing} are missing",)
        except Fault as fault:
            if fault.kind not in (layout_kinds.OLD_NOT_BESIDE, layout_kinds.NO_ROOM_BESIDE_OLD):
                raise
            reasons = (fault.what[:1].lower() + fault.what[1:],)
    found = with_berth(replace(context, layout=resolve_for(context, layout_document)))
    return replace(found, old_not_kept=tuple(filter(None, reasons)))


def with_berth(context: Context) -> Context:
    """Return a context with the place of a lifeboat in its resolved layout, and what that means for memory and time."""
    if context.layout is None:
        return context
    wish = context.options.lifeboat
    berth = find_berth(context.facts, context.manifest, context.layout, wish, staged_on_root(context))
    prediction = predict(
        context.facts,
        context.manifest,
        context.options.rehearsal,
        lifeboat=berth.used,
        copied_bytes=berth.waiting_bytes,
    )
    return replace(context, berth=berth, prediction=prediction)


def assemble(context: Context) -> dict[str, Any]:
    """Return the frozen plan for a context whose layout is resolved and whose lifeboat has its place."""
    if context.layout is None or context.berth is None:
        raise ValueError("a plan needs a resolved layout")
    facts, manifest, options = context.facts, context.manifest, context.options
    kept = kept_by(context)
    return document.freeze(
        {
            **parts.head(options.mode, options, manifest, context.capture or facts),
            "attended": options.attended,
            "go_timeout": options.go_timeout,
            "trial_limit": options.trial_limit,
            "payload": parts.payload(manifest),
            "environment": parts.environment(manifest),
            "disk": parts.identity(context.system_disk or {}, context.root.get("uuid") or ""),
            # Checked before: the state directory lies on the root file system itself.
            "staging": parts.staging(context.root, options.run_id),
            "layout": dict(context.layout),
            "esp": kept.to_plan() if kept else None,
            "keep_old": keep_old.to_plan(context),
            "slot": options.slot,
            "firmware": facts["firmware"],
            "renderer": manifest["payload"]["network_renderer"],
            "kernel_arguments": kernel_arguments(context),
            "health": {"commands": list(options.health_commands), "decisive": options.give_up_unhealthy},
            "lifeboat": context.berth.to_plan(),
            "predicted": context.prediction.to_document(),
        }
    )


def kernel_arguments(context: Context) -> list[str]:
    """Return the operator's arguments, or else the host's own console arguments."""
    if context.options.kernel_arguments:
        return list(context.options.kernel_arguments)
    captured = (context.capture or {}).get("console_arguments")
    if captured:
        return [str(argument) for argument in captured]
    words = str(context.facts.get("cmdline") or "").split()
    return [word for word in words if word.startswith("console=")]
