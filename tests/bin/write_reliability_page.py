#!/usr/bin/env python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write docs/reliability.md from tests/crash/results; run it after a run of the crash matrix."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write the page."""
    sys.path.insert(0, str(REPOSITORY))
    from tests.crash import report

    (REPOSITORY / "docs/reliability.md").write_text(report.page(), encoding="utf-8")


if __name__ == "__main__":
    main()
