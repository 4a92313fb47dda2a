# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell a restore from a conversion: the few places that differ in phases which both have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: The mode of the plan, and of the kernel line.
MODE = "restore"


def is_restore(plan: Mapping[str, Any]) -> bool:
    """Tell whether a plan brings the old system back."""
    return bool(plan.get("mode") == MODE)
