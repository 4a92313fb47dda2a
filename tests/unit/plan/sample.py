# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole plans of the shipped layouts, for tests of whatever reads a plan."""

from __future__ import annotations

from typing import Any

from ansible_collections.dualroot.migrate.plugins.module_utils.plan.build import build

from tests.support import layouts

from . import documents


def plan(name: str = "va") -> dict[str, Any]:
    """Return a fresh plan of a shipped layout, as preflight freezes it."""
    return build(documents.facts(), documents.manifest(), layouts.document(name), documents.options())
