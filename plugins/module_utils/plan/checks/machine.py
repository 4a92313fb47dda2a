# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rights, architecture, lockdown and interpreter of the host, and what the run asks for."""

from __future__ import annotations

from collections.abc import Iterator

from ...faults import preflight as kinds
from ..context import STATE_DIRECTORY, Context
from ..finding import Finding, find

SUPPORTED_ARCHITECTURE = "x86_64"
SNAPSHOT_PROVIDERS = ("none", "archive", "command")


def check(context: Context) -> Iterator[Finding]:
    """Check the machine itself, before anything about its disk."""
    facts = context.facts
    architecture = facts.get("architecture", "unknown")
    if not facts.get("is_root"):
        yield find(kinds.NOT_ROOT)
    if architecture != SUPPORTED_ARCHITECTURE:
        yield find(kinds.ARCHITECTURE, found=architecture)
    bundle = context.manifest.get("architecture")
    if bundle != architecture:
        yield find(kinds.BUNDLE_ARCHITECTURE, bundle=bundle, found=architecture)
    lockdown = facts.get("lockdown") or "none"
    if lockdown != "none":
        yield find(kinds.LOCKDOWN, mode=lockdown)
    python = facts.get("python") or {}
    if str(python.get("executable") or "").startswith(f"{STATE_DIRECTORY}/"):
        yield find(kinds.INTERPRETER)
    yield from _wishes(context)


def _wishes(context: Context) -> Iterator[Finding]:
    options = context.options
    if options.boot_method != "reboot":
        yield find(kinds.BOOT_METHOD, method=options.boot_method)
    if not options.attended:
        yield find(kinds.UNATTENDED)
    if not options.signed_by:
        yield find(kinds.UNSIGNED)
    yield from _snapshot(options.snapshot, bool(options.snapshot_command))


def _snapshot(provider: str, has_command: bool) -> Iterator[Finding]:
    if provider == "lvm":
        reason = "an LVM snapshot lies on the disk that is rewritten, so it would not survive"
        yield find(kinds.SNAPSHOT_PROVIDER, provider=provider, reason=reason)
    elif provider not in SNAPSHOT_PROVIDERS:
        yield find(kinds.SNAPSHOT_PROVIDER, provider=provider, reason="there is no provider of this name")
    elif provider == "command" and not has_command:
        yield find(kinds.SNAPSHOT_PROVIDER, provider=provider, reason="dualroot_snapshot_command is empty")
