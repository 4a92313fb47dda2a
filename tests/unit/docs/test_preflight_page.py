# Copyright: the dualroot.migrate authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/preflight.md lists exactly the findings of the catalogue."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.dualroot.migrate.plugins.module_utils.faults import preflight

from tests.support.findings_page import with_table

PAGE = Path(__file__).parents[3] / "docs/preflight.md"


def test_the_table_is_the_catalogue() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_table(text, preflight), "run tests/bin/write_findings_page.py"
