# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The shipped layouts, and what they resolve to, for tests of any part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.kept_old import OldRoot
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.loader import load
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.model import ResolvedLayout
from ansible_collections.dualroot.migrate.plugins.module_utils.layout.resolve import DiskGeometry, resolve

LAYOUTS = Path(__file__).parents[2] / "roles" / "bundle" / "files" / "layouts"
RUN_ID = "20250101T000000Z-abcdef"


def document(name: str) -> dict[str, Any]:
    """Return a fresh copy of a shipped layout document."""
    return yaml.safe_load((LAYOUTS / f"{name}.yml").read_text())


def resolved(name: str = "va", size_bytes: int = 8 << 30, sector_bytes: int = 512) -> ResolvedLayout:
    return resolve(load(document(name)), DiskGeometry(size_bytes, sector_bytes), RUN_ID)


def keeping() -> ResolvedLayout:
    """Return ``va`` on a disk whose old root, which fills it, is kept until ``commit``."""
    return resolve(
        load(document("va")), DiskGeometry(8 << 30), RUN_ID, None, OldRoot(1, 1 << 20, 8 << 30, 1 << 30, True)
    )
