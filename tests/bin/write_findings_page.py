#!/usr/bin/env python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the table of docs/preflight.md; run it after a change of plugins/module_utils/faults/preflight.py."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write the page."""
    # The engine is a package of its own wherever it lies, so no collection path is needed.
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "plugins")]
    from module_utils.faults import preflight

    from tests.support.findings_page import with_table

    page = REPOSITORY / "docs/preflight.md"
    page.write_text(with_table(page.read_text(encoding="utf-8"), preflight), encoding="utf-8")


if __name__ == "__main__":
    main()
