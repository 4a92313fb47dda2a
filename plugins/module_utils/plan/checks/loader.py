# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The boot loader of the old system, and whether it can boot one entry once."""

from __future__ import annotations

from collections.abc import Iterator

from ...faults import preflight as kinds
from ..context import Context
from ..finding import Finding, find

#: The id of the entry that this project arms.
OWN_ENTRY = "dualroot-convert"


def check(context: Context) -> Iterator[Finding]:
    """Check everything that a one-shot boot entry depends on."""
    loader = context.facts.get("bootloader") or {}
    if loader.get("kind") != "grub2":
        yield find(kinds.BOOT_LOADER, found=loader.get("kind") or "unknown")
        return
    config, environment = loader.get("config"), loader.get("environment")
    if not loader.get("reboot_tool") and not loader.get("editenv_tool"):
        yield find(kinds.REBOOT_TOOL)
    if not loader.get("handles_next_entry"):
        yield find(kinds.NEXT_ENTRY, config=config)
    if not loader.get("reads_custom_cfg") and not loader.get("grubby"):
        yield find(kinds.CUSTOM_CFG, config=config)
    if not loader.get("environment_writable_by_grub"):
        doubt = loader.get("environment_doubt") or "GRUB does not write to this file system"
        yield find(kinds.ENVIRONMENT, environment=environment, doubt=doubt)
    pending = loader.get("next_entry") or ""
    if pending and OWN_ENTRY in pending:
        yield find(kinds.EARLIER_RUN)
    elif pending:
        yield find(kinds.FOREIGN_NEXT_ENTRY, entry=pending)
