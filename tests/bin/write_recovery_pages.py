#!/usr/bin/env python
# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write docs/recovery/ and the table of docs/recovery.md; run it after a change of faults or of their steps."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Write the pages, and remove those of faults that are no more."""
    # The engine is a package of its own wherever it lies, so no collection path is needed.
    sys.path[:0] = [str(REPOSITORY / "plugins"), str(REPOSITORY)]
    from module_utils.faults import catalogue

    from tests.support import recovery_page

    kinds = catalogue.all_kinds()
    folder = REPOSITORY / "docs/recovery"
    folder.mkdir(exist_ok=True)
    wanted = recovery_page.pages(kinds)
    for path in folder.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    index = REPOSITORY / "docs/recovery.md"
    index.write_text(recovery_page.with_index(index.read_text(encoding="utf-8"), kinds), encoding="utf-8")


if __name__ == "__main__":
    main()
