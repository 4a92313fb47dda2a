# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/reliability.md is what the kept results give; tests/bin/write_reliability_page.py writes it."""

from __future__ import annotations

from pathlib import Path

from tests.crash import report

PAGE = Path(__file__).parents[3] / "docs/reliability.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == report.page()
