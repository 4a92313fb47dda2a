#!/usr/bin/env python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write docs/faults.md from the catalogue; run it after a change of plugins/module_utils/faults."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write the page."""
    # The engine is a package of its own wherever it lies, so no collection path is needed.
    sys.path.insert(0, str(REPOSITORY / "plugins"))
    from module_utils.faults import catalogue

    (REPOSITORY / "docs/faults.md").write_text(catalogue.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
